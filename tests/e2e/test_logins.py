"""Origins that log in the connection and not the request: NTLM and Negotiate (RFC 4559)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import Proxy
from raw import Conversation, request


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


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.fixture
def url() -> Iterator[str]:
    with serving(Inbox) as url:
        yield url


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_nobody_else_is_let_in(proxy: Proxy, url: str, scheme: str, method: str) -> None:
    assert proxy.get(f"{url}/before").status == 401
    reply = proxy.get(f"{url}/inbox", [("Authorization", f"{scheme} alice")], method=method)
    assert (reply.status, reply.body) == (200, b"" if method == "HEAD" else b"the inbox of alice")
    for path in ("/inbox", "/inbox", "/before"):
        assert proxy.get(f"{url}{path}").status == 401
    assert proxy.get(f"{url}/inbox", [("Authorization", f"{scheme} bob")]).body == b"the inbox of bob"


class FieldNames(Inbox):
    """Shows the names of the fields that it got."""

    def answer(self) -> None:
        body = "\n".join(self.headers.keys()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_field_names_stay_as_they_are_sent_behind_a_login(proxy: Proxy) -> None:
    with serving(FieldNames) as url, Conversation(proxy.address) as alice:
        for fields in (("Authorization: NTLM alice", "x-OWN: 1"), ("x-OWN: 1",), ("x-OWN: 1", "A: b")):
            reply = alice.send(request(f"GET {url}/a", *fields)).reply()
            assert b"x-OWN" in reply.body.split(b"\n"), fields


class Handshake(BaseHTTPRequestHandler):
    """Lets a connection in by three messages, all of which have to come over the same one."""

    protocol_version = "HTTP/1.1"
    user = ""
    challenged = ""

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        said = self.headers.get("Authorization", "").removeprefix("NTLM ")
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        challenge = "NTLM"
        if said.startswith("hello "):
            self.user, self.challenged = "", said.removeprefix("hello ")
            challenge = f"NTLM challenge-for-{self.challenged}"
        elif said and said == f"proof-of-{self.challenged}":
            self.user = self.challenged
        body = f"{self.user} {self.path} {content.decode()}".encode()
        self.send_response(200 if self.user else 401)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "public, max-age=60")
        if not self.user:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def handshaking() -> Iterator[str]:
    with serving(Handshake) as url:
        yield url


def logged_in(client: Conversation, url: str, user: str) -> None:
    """Send all three messages but the last one's request."""
    assert client.send(request(f"GET {url}/a")).reply().get("WWW-Authenticate") == "NTLM"
    reply = client.send(request(f"GET {url}/a", f"Authorization: NTLM hello {user}")).reply()
    assert (reply.status, reply.get("WWW-Authenticate")) == (401, f"NTLM challenge-for-{user}")


def test_a_login_in_steps_goes_over_one_connection(proxy: Proxy, handshaking: str) -> None:
    """The client's connection has one at the origin, which is nobody else's."""
    url = handshaking
    with Conversation(proxy.address) as alice, Conversation(proxy.address) as bob:
        logged_in(alice, url, "alice")
        logged_in(bob, url, "bob")
        for user, client in (("alice", alice), ("bob", bob)):
            reply = client.send(request(f"GET {url}/a", f"Authorization: NTLM proof-of-{user}")).reply()
            assert (reply.status, reply.body) == (200, f"{user} /a ".encode())
        for _ in range(3):  # known by their connections alone
            assert alice.send(request(f"GET {url}/a")).reply().body == b"alice /a "
            assert bob.send(request(f"GET {url}/a")).reply().body == b"bob /a "
            assert proxy.get(f"{url}/a").status == 401
        assert alice.send(request("GET /api/v1/health/")).reply().body == b"ok"
        assert alice.send(request(f"GET {url}/b")).reply().body == b"alice /b "
    with Conversation(proxy.address) as stranger:
        proof = request(f"GET {url}/a", "Authorization: NTLM proof-of-alice")
        assert stranger.send(proof).reply().status == 401


def test_content_comes_with_the_last_step(proxy: Proxy, handshaking: str) -> None:
    with Conversation(proxy.address) as alice:
        logged_in(alice, handshaking, "alice")
        fields = ("Authorization: NTLM proof-of-alice", "Content-Length: 4")
        reply = alice.send(request(f"POST {handshaking}/a", *fields, body=b"word")).reply()
        assert (reply.status, reply.body) == (200, b"alice /a word")
        # What was sent there may lie unread, so that connection is over.
        assert alice.send(request(f"GET {handshaking}/a")).reply().status == 401
