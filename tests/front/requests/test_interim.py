"""Interim answers to a client: which, how many, and until when."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from pyproxycache.front.requests.interim import InterimHeads
from pyproxycache.messages import Head, Headers
from pyproxycache.net.stream import wait_on

HINT = Head(103, "Early Hints", Headers([("Link", "</a>")]))
SENT = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Ours and the client's."""
    ours, client = socket.socketpair()
    with ours, client:
        ours.settimeout(10)
        client.settimeout(0.0)
        yield ours, client


Ends = tuple[socket.socket, socket.socket]


class Ours:
    """Our end of a client's connection, which waits."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.sendall = sock.sendall

    def has_room(self) -> bool:
        return wait_on(self._sock.fileno(), select.POLLOUT, 0.0)

    def half_close(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)


def received(client: socket.socket) -> bytes:
    try:
        return client.recv(1 << 20)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize(
    ("head", "sent"),
    [
        (HINT, SENT),
        (Head(102), b"HTTP/1.1 102 Processing\r\n\r\n"),
        (Head(199, "caf\xe9"), b"HTTP/1.1 199 caf\xe9\r\n\r\n"),
        (Head(199, "a\x01"), b"HTTP/1.1 199 Unknown\r\n\r\n"),
        (
            Head(
                103,
                "Early Hints",
                Headers(
                    [
                        ("Connection", "X-Hop, close"),
                        ("X-Hop", "1"),
                        ("Keep-Alive", "5"),
                        ("Transfer-Encoding", "chunked"),
                        ("Content-Length", "7"),
                        ("Link", "</a>"),
                    ]
                ),
            ),
            SENT,
        ),
        (Head(103, "", Headers([("Link", "x" * 17_000)])), b""),
    ],
)
def test_a_head_is_sent_without_what_is_for_one_hop(ends: Ends, head: Head, sent: bytes) -> None:
    InterimHeads(Ours(ends[0])).forward(head)
    assert received(ends[1]) == sent


def test_there_is_an_end_to_how_many(ends: Ends) -> None:
    heads = InterimHeads(Ours(ends[0]))
    for _ in range(1000):
        heads.forward(HINT)
    assert received(ends[1]) == SENT * 16
    heads.proceed()  # which the client waits for
    assert received(ends[1]) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_the_final_head_is_the_end_of_them(ends: Ends) -> None:
    heads = InterimHeads(Ours(ends[0]))
    heads.forward(HINT)
    heads.end()
    heads.forward(HINT)
    heads.proceed()
    assert received(ends[1]) == SENT


def test_what_another_thread_fetches_is_not_the_clients_answer(ends: Ends) -> None:
    heads = InterimHeads(Ours(ends[0]))
    failed: list[BaseException] = []

    def forward() -> None:
        try:
            heads.forward(HINT)
        except BaseException as error:
            failed.append(error)

    for is_open in (True, False):
        elsewhere = threading.Thread(target=forward)
        elsewhere.start()
        elsewhere.join(10)
        assert failed == []
        if is_open:
            assert received(ends[1]) == b""
            ends[0].close()


def test_a_client_that_reads_nothing_is_not_waited_for(ends: Ends) -> None:
    ours, client = ends
    ours.setblocking(False)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += ours.send(b"x" * 65536)
    ours.settimeout(10)
    InterimHeads(Ours(ours)).forward(HINT)
    while filled:
        filled -= len(client.recv(1 << 20))
    assert received(client) == b""


def test_a_client_that_left_gets_no_final_head_either(ends: Ends) -> None:
    ours, client = ends
    client.close()
    heads = InterimHeads(Ours(ours))
    heads.forward(HINT)
    heads.forward(HINT)
    with pytest.raises(ConnectionError):
        ours.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
