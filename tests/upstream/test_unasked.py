"""What nobody asked for is never the answer to anything: late bytes, second answers, goodbyes."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Certificate
from scripted import OK, Scripted, get, upstream

from pyproxycache.facts import Facts
from pyproxycache.upstream.client import Upstream

FAKE = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nEVIL"
TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n"


@pytest.fixture
def client(certificate: Certificate) -> Upstream:
    return upstream(ca_file=Path(certificate.certificate))


def ask(client: Upstream, origin: Scripted, method: str = "GET", *fields: str) -> tuple[int, bytes]:
    exchange = client.send(get(origin.url(), method, None, *fields), Facts())
    return exchange.head.status, b"".join(exchange)


def late(head: str, body: bytes) -> Callable[[socket.socket], None]:
    """An answer without a body, and one that comes behind it when the next request is there."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head.encode() + b"\r\n\r\n")
        connection.recv(1)
        connection.sendall(body)

    return answer


@pytest.mark.parametrize("body", [FAKE, b"plain text that is no answer at all"], ids=["fake", "text"])
@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: {}"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"),
        ("HEAD", "HTTP/1.1 200 OK"),
        ("HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: {}"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: {}"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: {}"),
        ("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked"),
    ],
)
def test_a_body_behind_an_answer_that_has_none(
    tls: ssl.SSLContext | None, client: Upstream, method: str, head: str, body: bytes
) -> None:
    with Scripted([late(head.format(len(body)), body)], [OK], tls=tls) as origin:
        ask(client, origin, method)
        assert ask(client, origin) == (200, b"right")
        assert origin.accepted == 2


@pytest.mark.parametrize("status", ["304 Not Modified", "204 No Content"])
@pytest.mark.parametrize("length", ["", "\r\nContent-Length: 0"])
def test_what_announces_none_leaves_the_connection_good(
    tls: ssl.SSLContext | None, client: Upstream, status: str, length: str
) -> None:
    with Scripted([f"HTTP/1.1 {status}{length}\r\n\r\n".encode(), OK], tls=tls) as origin:
        ask(client, origin)
        assert ask(client, origin) == (200, b"right")
        assert origin.accepted == 1


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_a_timeout_of_the_connection_is_no_answer(
    tls: ssl.SSLContext | None, client: Upstream, close: bytes
) -> None:
    """It was sent when the last request was long over, and crossed with this one."""
    timeout = TIMEOUT + close + b"\r\nlate"
    with Scripted([OK, timeout], [OK], [timeout], tls=tls) as origin:
        assert [ask(client, origin) for _ in range(2)] == [(200, b"right")] * 2
        assert origin.accepted == 2
    with Scripted([timeout], tls=tls) as origin:
        assert ask(client, origin) == (408, b"late")


@pytest.mark.parametrize("surplus", [FAKE, b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_what_comes_while_the_connection_is_idle(
    tls: ssl.SSLContext | None, client: Upstream, surplus: bytes
) -> None:
    sent = threading.Event()

    def twice(connection: socket.socket) -> None:
        connection.sendall(OK)
        left.wait(10)
        connection.sendall(surplus)
        sent.set()
        time.sleep(0.05)

    left = threading.Event()
    with Scripted([twice], [OK], tls=tls) as origin:
        assert ask(client, origin) == (200, b"right")
        left.set()
        assert sent.wait(10)
        assert ask(client, origin) == (200, b"right")
        assert origin.accepted == 2


def test_what_is_on_its_way_when_the_request_is_sent(tls: ssl.SSLContext | None, client: Upstream) -> None:
    """The origin's kernel has no room left for the request, so what comes meanwhile cannot answer it."""

    def twice(connection: socket.socket) -> None:
        connection.sendall(OK)
        time.sleep(0.3)
        connection.sendall(FAKE)
        gone = select.poll()
        gone.register(connection, 0)
        gone.poll(10_000)

    fields = [f"X-{number}: {'x' * 8000}" for number in range(5)]
    with Scripted([twice], [OK], tls=tls, receive_buffer=4096) as origin:
        assert ask(client, origin) == (200, b"right")
        assert ask(client, origin, "GET", *fields) == (200, b"right")
        assert origin.accepted == 2
