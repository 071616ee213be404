"""A request that its origin takes little by little, and answers in any pieces, is the whole request."""

from __future__ import annotations

import random
import socket
import threading
from typing import Any

import h11
import pytest
from certificates import make_certificate
from hypothesis import strategies as st
from scripted import OK, Scripted, get, upstream
from splits import Property, cpu_within, everywhere, plain, somewhere

from pyproxycache.blocking import work_in
from pyproxycache.facts import Facts
from pyproxycache.http1.response_heads import ParsedHead
from pyproxycache.messages import Headers, Request
from pyproxycache.options import ParentOptions
from pyproxycache.upstream.connection import OriginConnection
from pyproxycache.upstream.next_hops import NextHop
from pyproxycache.url import Url

URL = Url("http", "h", 80, "/a?b")
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
OPEN = b"HTTP/1.1 200 Go\r\nX: y\r\n\r\n"
FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def asked(body: list[bytes] | None, *fields: tuple[str, str]) -> Request:
    return Request("POST", URL, Headers(fields), body=body)


def ask(
    request: Request, answer: list[bytes], chance: random.Random, *, early: bool
) -> tuple[ParsedHead, bytes]:
    """The answer's head, and all that the origin was sent."""
    with plain(answer, early=early, slow=chance) as sock:
        asking: Any = OriginConnection(sock, NextHop("h", 80), "127.0.0.1", 5.0, 5.0)
        with cpu_within(5.0):
            return asking.ask(request, "test"), sock.feed.sent()


def judged(raw: bytes) -> tuple[str, str, bytes]:
    """Method, target and content as h11 reads them."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(raw)
    head, body = server.next_event(), b""
    assert isinstance(head, h11.Request)
    while isinstance(event := server.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    return head.method.decode(), head.target.decode(), body


def check_sent(pieces: list[bytes], counted: bool, seed: int) -> None:
    """Whatever its pieces, and whatever the origin takes at a time, it gets all of them."""
    content = b"".join(pieces)
    length = [("Content-Length", str(len(content)))] if counted else []
    chance = random.Random(seed)
    request = asked(pieces, *length)
    received, sent = ask(request, somewhere(HINTS + FINAL, seed), chance, early=False)
    assert received.head.status == 200
    assert judged(sent) == ("POST", URL.target, content)
    # An answer that comes before its end is the same, and what was sent by then begins the same.
    before, begun = ask(request, somewhere(HINTS + FINAL, seed), chance, early=True)
    assert before == received
    assert sent.startswith(begun)


BODIES = st.lists(st.binary(max_size=300), max_size=4)
PROPERTIES = (Property(check_sent, (BODIES, st.booleans(), st.integers(0, 1 << 30))),)


def test_a_request_arrives_whole() -> None:
    PROPERTIES[0].hold(200)


def test_early_answer_split_at_each_position() -> None:
    request = asked([b"x" * 50, b"y" * 50])
    for pieces in everywhere(HINTS + FINAL):
        received, _sent = ask(request, pieces, random.Random(1), early=True)
        assert received.head.status == 200


@pytest.mark.parametrize("end", [OPEN, HINTS + OPEN], ids=["open", "hints before"])
def test_a_parent_may_say_in_any_pieces_that_a_tunnel_is_open(tmp_path: Any, end: bytes) -> None:
    """What comes behind its answer is the origin's TLS, none of which may be taken for the answer."""
    certificate = make_certificate(tmp_path, "IP:127.0.0.1")
    with Scripted(*[[OK]] * 4, tls=certificate.server()) as origin:

        def tunnels(pieces: list[bytes]) -> Any:
            def run(client: socket.socket) -> None:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for piece in pieces:
                    client.sendall(piece)
                with socket.create_connection(("127.0.0.1", origin.port)) as far:
                    threading.Thread(target=carry, args=(far, client), daemon=True).start()
                    carry(client, far)

            return run

        by_byte = [end[place : place + 1] for place in range(len(end))]
        cuts = [[end], by_byte, [end[:-1], end[-1:]], [end[:-3], end[-3:]]]
        for pieces in cuts:
            with Scripted([tunnels(pieces)]) as parent:
                options = ParentOptions(url=parent.url("/"))
                client = upstream(parent=options, ca_file=certificate.certificate)
                assert b"".join(client.send(get(origin.url()), Facts())) == b"right"
                del client


def carry(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Places:
    """Places for the thread that asks; `left` is released each time when it leaves its own."""

    def __init__(self) -> None:
        self.left = threading.Semaphore(0)

    def leave(self) -> None:
        self.left.release()

    def come_back(self) -> None:
        pass


def test_who_waits_for_the_origin_to_take_content_leaves_the_place() -> None:
    places, was_left, bodies = Places(), [], []

    def takes_late(connection: socket.socket) -> None:
        places.left.acquire()  # for the connection
        was_left.append(places.left.acquire(timeout=5))
        taken = 0
        while taken < 32 << 20:
            taken += len(connection.recv(1 << 20))
        connection.sendall(OK)

    def send(url: Url) -> None:
        content = iter([bytes(32 << 20)])
        work_in(places)
        exchange = upstream().send(get(url, "POST", content, f"Content-Length: {32 << 20}"), Facts())
        bodies.append(exchange.read())

    with Scripted([takes_late]) as origin:
        asking = threading.Thread(target=send, args=(origin.url(),))
        asking.start()
        asking.join(20)
    assert was_left == [True]
    assert bodies == [b"right"]
