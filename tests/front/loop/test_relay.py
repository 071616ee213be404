"""Two sockets joined: every byte, both ways, and every way to end."""

from __future__ import annotations

import contextlib
import errno
import random
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from certificates import Certificate
from inprocess import Front
from raw import Conversation, request
from scripted import Scripted, until_gone
from waiting import until

from pyproxycache.errors import BrokenOff
from pyproxycache.facts import Facts
from pyproxycache.front.loop.answer_writer import SendStatus
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.net.layered_socket import LayeredSocket
from pyproxycache.net.stream import PlainStream, Stream
from pyproxycache.options import ConnectOptions
from pyproxycache.outcome import Result

LARGE = random.Random(1).randbytes(3 << 20)


@dataclass(frozen=True)
class Far:
    """A tunnel's other end."""

    stream: Stream
    early: bytes

    def close(self) -> None:
        self.stream.close()


class Joined:
    """A client and a far end with a tunnel between them, which a thread moves on as the poller does."""

    def __init__(
        self, far: socket.socket | LayeredSocket, early: bytes = b"", client_early: bytes = b""
    ) -> None:
        self.client, self._near = pair()
        self.facts = Facts()
        self.error: BaseException | None = None
        stream: Stream = far.stream if isinstance(far, LayeredSocket) else PlainStream(far)
        self.tunnel = Tunnel(Far(stream, early), 86400.0, self.facts)
        self.tunnel.join(PlainStream(self._near), client_early, 100)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with select.epoll() as epoll:
            for sock in (self._near, self.tunnel.far):
                epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
            has_failed = False
            try:
                while (send_status := self.tunnel.advance(has_failed=has_failed)) is not SendStatus.DONE:
                    if send_status is SendStatus.FULL:
                        if not (events := epoll.poll(self.tunnel.patience(stops=False))):
                            break
                        has_failed = any(event & select.EPOLLERR for _fd, event in events)
            except BaseException as error:
                self.error = error
            finally:
                self._near.close()
                self.tunnel.close()

    def end(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.client.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname(), 10)
        other = listener.accept()[0]
        other.settimeout(10)
        return one, other


def everything(sock: socket.socket) -> bytes:
    received = b""
    while data := sock.recv(1 << 16):
        received += data
    return received


def saying(sock: socket.socket, data: bytes) -> threading.Thread:
    """Sends it all and then the end, whatever is read meanwhile."""

    def run() -> None:
        sock.sendall(data)
        if isinstance(sock, ssl.SSLSocket):
            sock.setblocking(False)  # say goodbye, and wait for none
            with contextlib.suppress(ssl.SSLWantReadError):
                sock.unwrap()
        else:
            sock.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_all_bytes_go_both_ways_at_once() -> None:
    origin, far = pair()
    joined = Joined(far)
    threads = [saying(joined.client, LARGE), saying(origin, LARGE[::-1])]
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(everything(origin)))
    reader.start()
    assert everything(joined.client) == LARGE[::-1]
    for thread in (reader, *threads):
        thread.join(10)
    joined.end()
    origin.close()
    assert got == [LARGE]
    assert (joined.error, joined.tunnel.sent) == (None, len(LARGE))
    assert (joined.facts.received.total, joined.facts.uploaded.total) == (len(LARGE), len(LARGE))


def test_what_was_read_before_comes_first() -> None:
    origin, far = pair()
    joined = Joined(far, early=b"from origin, ", client_early=b"from client, ")
    for thread in (saying(joined.client, b"more"), saying(origin, b"more")):
        thread.join(10)
    assert everything(joined.client) == b"from origin, more"
    assert everything(origin) == b"from client, more"
    joined.end()
    origin.close()


@pytest.mark.parametrize("first", ["client", "origin"])
def test_one_side_may_end_before_the_other(first: str) -> None:
    origin, far = pair()
    joined = Joined(far)
    ends = (joined.client, origin) if first == "client" else (origin, joined.client)
    ends[0].sendall(b"question")
    ends[0].shutdown(socket.SHUT_WR)
    assert everything(ends[1]) == b"question"
    ends[1].sendall(b"answer")
    assert ends[0].recv(100) == b"answer"
    ends[1].shutdown(socket.SHUT_WR)
    assert everything(ends[0]) == b""
    joined.end()
    origin.close()
    assert joined.error is None


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_an_origin_that_breaks_off_is_told_from_a_client_that_does() -> None:
    origin, far = pair()
    joined = Joined(far)
    reset(origin)
    joined.end()
    assert isinstance(joined.error, BrokenOff)
    origin, far = pair()
    joined = Joined(far)
    reset(joined.client)
    with pytest.raises(ConnectionResetError):
        everything(origin)
    joined.end()
    origin.close()
    assert isinstance(joined.error, ConnectionError)


def test_what_is_left_of_an_origin_that_broke_off_is_for_a_client_that_takes_it() -> None:
    origin, far = pair()
    joined = Joined(far)
    origin.settimeout(0.5)
    with pytest.raises(TimeoutError):  # all buffers on the way are full by then
        origin.sendall(bytes(64 << 20))
    reset(origin)
    until(lambda: joined.tunnel.is_cut_off)
    assert joined.tunnel.patience(stops=False) == 60.0
    assert everything(joined.client)
    joined.end()
    assert isinstance(joined.error, BrokenOff)


def test_an_origin_that_breaks_off_behind_its_end_has_said_all() -> None:
    origin, far = pair()
    joined = Joined(far)
    origin.sendall(b"all of it")
    origin.shutdown(socket.SHUT_WR)
    assert everything(joined.client) == b"all of it"
    reset(origin)
    joined.end()
    assert joined.error is None


def test_a_long_silence_is_the_end(tmp_path: Path) -> None:
    def switch(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 101 \r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nword")
        until_gone(connection)

    with (
        Scripted([switch]) as origin,
        Front(tmp_path, upstream=origin.url(""), connect=ConnectOptions(idle=0.5)) as front,
        Conversation(front.address) as client,
    ):
        client.send(request("GET /", "Connection: upgrade", "Upgrade: x"))
        assert client.head().status == 101
        assert client.rest() == b"word"
        (outcome,) = front.told(0, 1)
    assert (outcome.bytes_sent, outcome.bytes_received, outcome.aborted) == (4, 4, False)


def test_an_idle_tunnel_gives_way_where_descriptors_are_short(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as origin:
        port = origin.getsockname()[1]
        options = ConnectOptions(ports=(port,), idle=6.0)
        with Front(tmp_path, connect=options) as front, Conversation(front.address) as client:
            assert client.send(request(f"CONNECT 127.0.0.1:{port}")).head().status == 200
            far = origin.accept()[0]
            assert not front.poller.close_idle()
            until(front.poller.close_idle)
            assert client.rest() == b""
            (outcome,) = front.told(0, 1)
            with far:
                assert far.recv(1) == b""
    assert (outcome.result, outcome.aborted) == (Result.TUNNELLED, False)


def test_an_end_that_cannot_be_watched_lets_go_of_both(tmp_path: Path) -> None:
    is_gone = threading.Event()

    def switch(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 101 \r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        until_gone(connection)
        is_gone.set()

    def refuse(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "too many descriptors are watched")

    def refusing(loop: ClientLoop) -> ClientLoop:
        loop.watch = refuse
        return loop

    with Scripted([switch]) as origin:
        front = Front(tmp_path, upstream=origin.url(""))
        front.serve_with(lambda make: lambda loop: make(refusing(loop)))
        with front, Conversation(front.address) as client:
            client.send(request("GET /", "Connection: upgrade", "Upgrade: x"))
            assert client.head().status == 101
            with pytest.raises(ConnectionResetError):  # which no client takes for the end
                client.rest()
            assert is_gone.wait(10)
            (outcome,) = front.told(0, 1)
    assert outcome.aborted


# TLS on the far side.


@pytest.fixture
def secured(certificate: Certificate) -> Iterator[Callable[[], tuple[ssl.SSLSocket, LayeredSocket]]]:
    """Makes an origin's end and ours of a connection with TLS."""
    made: list[ssl.SSLSocket | LayeredSocket] = []

    def make() -> tuple[ssl.SSLSocket, LayeredSocket]:
        raw, far = pair()
        accepted: list[ssl.SSLSocket] = []
        server = certificate.server()
        shaking = threading.Thread(
            target=lambda: accepted.append(server.wrap_socket(raw, server_side=True))
        )
        shaking.start()
        context = ssl.create_default_context(cafile=str(certificate.certificate))
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        far.settimeout(10)
        layered = LayeredSocket(far, partial(context.wrap_bio, server_hostname="127.0.0.1"))
        layered.do_handshake()
        shaking.join(10)
        made.extend((accepted[0], layered))
        return accepted[0], layered

    yield make
    for one in made:
        one.close()


Make = Callable[[], tuple[ssl.SSLSocket, LayeredSocket]]


def test_records_of_tls_are_not_left_lying(secured: Make) -> None:
    """More is in a record than one read takes, and the socket says nothing of the rest."""
    origin, far = secured()
    joined = Joined(far)
    for size in (1, 16384, 100_000):
        origin.sendall(LARGE[:size])
        received = b""
        while len(received) < size:
            received += joined.client.recv(1 << 16)
        assert received == LARGE[:size]
    joined.client.sendall(b"bye")
    assert origin.recv(100) == b"bye"
    saying(origin, b"").join(10)
    assert everything(joined.client) == b""
    joined.client.close()
    joined.end()
    assert joined.error is None


def test_large_bodies_over_tls(secured: Make) -> None:
    origin, far = secured()
    joined = Joined(far)
    got = bytearray()

    def echo() -> None:
        while len(got) < len(LARGE):
            data = origin.recv(1 << 16)
            got.extend(data)
            origin.sendall(data)
        origin.unwrap()

    echoing = threading.Thread(target=echo)
    echoing.start()
    sending = saying(joined.client, LARGE)
    assert everything(joined.client) == LARGE
    for thread in (sending, echoing):
        thread.join(10)
    joined.end()
    assert (bytes(got), joined.error) == (LARGE, None)


def test_a_client_that_ended_still_gets_what_tls_brings_soon(secured: Make) -> None:
    origin, far = secured()
    joined = Joined(far)
    saying(joined.client, b"question").join(10)
    assert origin.recv(100) == b"question"
    origin.sendall(b"answer")
    assert everything(joined.client) == b"answer"
    assert origin.recv(100) == b""  # said properly: no error
    joined.end()
    assert joined.error is None


def test_an_end_of_tls_that_was_not_meant(secured: Make) -> None:
    origin, far = secured()
    joined = Joined(far)
    origin.sendall(b"half")
    assert joined.client.recv(100) == b"half"
    socket.socket.shutdown(origin, socket.SHUT_RDWR)
    joined.end()
    assert isinstance(joined.error, BrokenOff)


def test_a_client_that_has_ended_in_tls_may_take_no_more(secured: Make) -> None:
    """In TLS most take their end for that of both ways, and are gone by the time of the last words."""
    client, near = secured()
    origin, far = pair()
    tunnel = Tunnel(Far(PlainStream(far), b""), 86400.0, Facts())
    tunnel.join(near.stream, b"", 100)
    with contextlib.suppress(OSError):
        client.setblocking(False)
        client.unwrap()
    client.close()
    statuses = []
    for _ in range(20):
        with contextlib.suppress(OSError):
            origin.sendall(b"last words")
        select.select([], [], [], 0.01)  # for the kernel to tell the one side of the other
        statuses.append(tunnel.advance())
        if statuses[-1] is SendStatus.DONE:
            break
    assert statuses[-1] is SendStatus.DONE
    tunnel.close()
    assert everything(origin) == b""
    origin.close()
