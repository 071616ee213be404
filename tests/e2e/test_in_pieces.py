"""Bytes that come in pieces, through the real server: for who leads, who follows, and as a request."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import h11
import pytest
from certificates import make_certificate
from harness import Download, Proxy
from raw import Conversation, request
from scripted import OK, Scripted

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n6\r\nbefore\r\n"
REST = b"5;a=b\r\nhello\r\n1f\r\n" + b"x" * 31 + b"\r\n0\r\n"
BODY = b"beforehello" + b"x" * 31
PAUSE = 0.03


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_download_that_is_followed_comes_in_pieces(
    make_proxy: Callable[..., Proxy], tmp_path: Path, scheme: str
) -> None:
    tls = make_certificate(tmp_path, "DNS:localhost") if scheme == "https" else None
    config = {"fetch": {"ca_file": str(tls.certificate)}} if tls else {}
    places = [*range(1, 17), len(REST) - 4, len(REST) - 3, len(REST) - 2, len(REST) - 1]
    go = threading.Event()

    def split(place: int) -> Callable[[socket.socket], None]:
        def answer(connection: socket.socket) -> None:
            connection.sendall(HEAD)
            assert go.wait(20)
            for piece in (REST[:place], REST[place:]):
                time.sleep(PAUSE)
                connection.sendall(piece)
            assert connection.recv(1) == b""  # the last line end never comes, and the body is whole

        return answer

    proxy = make_proxy(workers=2, config=config)
    with Scripted(*([split(place)] for place in places), tls=tls.server() if tls else None) as origin:
        for place in places:
            go.clear()
            url = f"/{origin.url(f'/{place}', 'localhost' if tls else '127.0.0.1')}"
            with Download(proxy.address, url) as leader, Download(proxy.address, url) as follower:
                for one in (leader, follower):
                    one.read_head()
                go.set()
                for one in (leader, follower):
                    assert (b"".join(bytes(piece) for piece in one.pieces()), one.complete) == (BODY, True)


def test_a_request_comes_byte_by_byte(make_proxy: Callable[..., Proxy]) -> None:
    proxy = make_proxy()
    received: list[bytes] = []

    def read(connection: socket.socket) -> None:
        content = b""
        while not content.endswith(b"0\r\n\r\n"):
            content += connection.recv(1 << 16)
        received.append(content)
        connection.sendall(OK)

    with Scripted([read], [OK]) as origin, Conversation(proxy.address) as client:
        client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        content = b"3;a\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n"
        sent = request(f"POST {origin.url()}", "Transfer-Encoding: chunked") + content
        sent += request(f"GET {origin.url('/b')}")
        for place in range(len(sent)):
            client.send(sent[place : place + 1])
            time.sleep(0.0005)
        assert [client.reply().body for _ in range(2)] == [b"right", b"right"]
    assert content_of(received[0]) == b"abcde"


def content_of(chunks: bytes) -> bytes:
    """As h11 reads it."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert isinstance(server.next_event(), h11.Request)
    content = b""
    while isinstance(event := server.next_event(), h11.Data):
        content += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    return content
