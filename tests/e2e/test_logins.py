"""Origins that log in the connection and not the request: NTLM and Negotiate (RFC 4559)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import Proxy


class Inbox(BaseHTTPRequestHandler):
    """Shows the inbox of whoever the connection was logged in by."""

    protocol_version = "HTTP/1.1"
    user = ""

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        scheme, _, user = self.headers.get("Authorization", "").partition(" ")
        if scheme in ("NTLM", "Negotiate"):
            self.user = user
        body = f"the inbox of {self.user}".encode() if self.user else b"who are you?"
        self.send_response(200 if self.user else 401)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "public, max-age=60")
        if not self.user:
            self.send_header("WWW-Authenticate", "NTLM")
            self.send_header("WWW-Authenticate", "Negotiate")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Inbox) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_nobody_else_is_let_in(proxy: Proxy, url: str, scheme: str, method: str) -> None:
    assert proxy.get(f"{url}/before").status == 401
    reply = proxy.get(f"{url}/inbox", [("Authorization", f"{scheme} alice")], method=method)
    assert (reply.status, reply.body) == (200, b"" if method == "HEAD" else b"the inbox of alice")
    for path in ("/inbox", "/inbox", "/before"):
        assert proxy.get(f"{url}{path}").status == 401
    assert proxy.get(f"{url}/inbox", [("Authorization", f"{scheme} bob")]).body == b"the inbox of bob"
