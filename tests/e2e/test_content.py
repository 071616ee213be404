"""Content of requests: which have any, and that no origin takes it for the next one of its connection."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from certificates import Certificate
from harness import Proxy
from origin import Origin
from raw import Conversation, request

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: h\r\nX: "
METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PURGED")


class Ignorant(BaseHTTPRequestHandler):
    """Answers every method by the path alone, and leaves all content unread."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = f"for {self.path}".encode()
        self.server.asked.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=60")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_arguments: object) -> None:
        pass


class IgnorantServer(ThreadingHTTPServer):
    """Keeps `asked`: method and path of each request, in order."""

    def __init__(self, certificate: Certificate | None) -> None:
        super().__init__(("127.0.0.1", 0), Ignorant)
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        if certificate is not None:
            self.url = f"https://127.0.0.1:{self.server_port}"
            self.socket = certificate.server().wrap_socket(self.socket, server_side=True)


@contextmanager
def serving(certificate: Certificate | None) -> Iterator[IgnorantServer]:
    with IgnorantServer(certificate) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Proxy]:
    config = {"fetch": {"ca_file": str(certificate.certificate)}}
    with Proxy(tmp_path_factory.mktemp("proxy"), config=config) as running:
        yield running


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
def test_it_never_is_the_next_request(
    cache: Proxy, certificate: Certificate, secured: bool, framing: str
) -> None:
    with serving(certificate if secured else None) as origin:
        prefix = f"/{origin.url}" if secured else origin.url
        for method in METHODS:
            field, body = f"Content-Length: {len(HIDDEN)}", HIDDEN
            if framing == "chunked":
                field, body = "Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
            with Conversation(cache.address) as client:
                reply = client.send(request(f"{method} {prefix}/{method}", field, body=body)).reply()
                assert (reply.status, reply.body) == (200, f"for /{method}".encode())
            for _ in range(2):
                assert cache.get(f"{prefix}/after-{method}").body == f"for /after-{method}".encode()
        expected = [asked for m in METHODS for asked in (f"{m} /{m}", f"GET /after-{m}")]
        assert origin.asked == expected


@pytest.mark.parametrize("size", [10, 1000, 100_000, 4_000_000])
def test_an_early_answer_leaves_none_of_it_behind(cache: Proxy, size: int) -> None:
    """It comes while content lies in buffers, and the origin would go on with that as a request."""
    with serving(None) as origin, Conversation(cache.address) as client:
        content = (b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n" * (size // 32 + 1))[:size]
        client.send(request(f"POST {origin.url}/{size}", f"Content-Length: {size}"))
        with contextlib.suppress(ConnectionError):  # the answer came, and with it the end
            client.send(content)
        assert client.reply().body == f"for /{size}".encode()
        assert cache.get(f"{origin.url}/after-{size}").body == f"for /after-{size}".encode()
        assert origin.asked == [f"POST /{size}", f"GET /after-{size}"]


@pytest.mark.parametrize("stored", [False, True], ids=["miss", "hit"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "TRACE"])
@pytest.mark.parametrize(
    ("field", "body"),
    [("Content-Length: 5", b"GET /"), ("Transfer-Encoding: chunked", b"5\r\nGET /\r\n0\r\n\r\n")],
)
def test_content_without_a_meaning_is_refused(
    cache: Proxy, origin: Origin, method: str, field: str, body: bytes, stored: bool
) -> None:
    origin.put("/a", b"body", cache_control="max-age=60")
    if stored:
        cache.get(origin.url("/a"))
    before = origin.count("/a")
    with Conversation(cache.address) as client:
        reply = client.send(request(f"{method} {origin.url('/a')}", field, body=body)).reply(method)
        assert (reply.status, reply.get("Connection")) == (400, "close")
        assert method == "HEAD" or reply.body.startswith(f"{method} with content is not sent on".encode())
        assert client.rest() == b""
    assert origin.count("/a") == before


@pytest.mark.parametrize(
    ("field", "body"), [("Content-Length: 0", b""), ("Transfer-Encoding: chunked", b"0\r\n\r\n")]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_content_of_no_bytes_is_none(
    cache: Proxy, origin: Origin, method: str, field: str, body: bytes
) -> None:
    origin.put("/a", b"body", cache_control="max-age=60")
    with Conversation(cache.address) as client:
        for _ in range(2):
            reply = client.send(request(f"{method} {origin.url('/a')}", field, body=body)).reply(method)
            assert (reply.status, reply.get("Connection")) == (200, "keep-alive")
    (asked, *_more) = origin.asked("/a")
    assert asked.get("Transfer-Encoding") is None
