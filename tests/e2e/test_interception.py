"""Interception: what is answered in an origin's place, what is passed on, and what nobody hangs for."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificate
from harness import Proxy
from origin import Origin
from raw import request
from scripted import Scripted, read_head
from strict_http2 import StrictClient
from waiting import until

from pyproxycache.tls.certificate_authority import CertificateAuthority

MakeProxy = Callable[..., Proxy]
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority."""
    folder = tmp_path_factory.mktemp("authority") / "ca"
    CertificateAuthority.create(folder, time.time())
    return folder


@pytest.fixture
def secure_origin(certificate: Certificate) -> Iterator[Origin]:
    with Origin(tls=certificate.server()) as running:
        yield running


class Intercepting:
    """A proxy that intercepts what goes to an origin, and its clients."""

    def __init__(
        self,
        make_proxy: MakeProxy,
        authority: Path,
        origin: Origin | Scripted,
        trusted: Certificate,
        workers: int = 1,
        **config: Any,
    ) -> None:
        self.port = origin.port
        self._trusted = {"cache": authority / "ca.pem", "origin": trusted.certificate}
        whole = {
            "connect": {"ports": [origin.port]},
            "intercept": {"hosts": ["*"], "ca": str(authority)},
            "fetch": {"ca_file": str(trusted.certificate), "pause": 0.01},
            "log": {"access": "-", "format": "json"},
            **config,
        }
        self.proxy = make_proxy(config=whole, workers=workers)

    def trusting(self, whom: str = "cache") -> ssl.SSLContext:
        """What a client trusts: the cache's authority, or only the origin's own certificate."""
        return ssl.create_default_context(cafile=str(self._trusted[whom]))

    def tunnel(self) -> socket.socket:
        client = socket.create_connection(self.proxy.address, 20)
        client.sendall(request(f"CONNECT {HOST}:{self.port}"))
        assert read_head(client).startswith(b"HTTP/1.1 200 ")
        return client

    def ask(self, path: str, host: str = HOST, **options: Any) -> tuple[int, bytes, str]:
        """Status, content and Cache-Status of the answer to one request in TLS."""
        client = http.client.HTTPSConnection(*self.proxy.address, timeout=20, context=self.trusting())
        client.set_tunnel(host, self.port)
        with closing(client):
            client.request("GET", path, **options)
            answer = client.getresponse()
            return answer.status, answer.read(), answer.getheader("Cache-Status") or ""

    def logged(self, result: str) -> list[dict[str, Any]]:
        """The requests with this result in the access log, once there is one."""

        def found() -> list[dict[str, Any]]:
            lines = [json.loads(line) for line in self.proxy.log().splitlines() if line.startswith("{")]
            return [line for line in lines if line["result"] == result]

        until(found)
        return found()


@pytest.fixture
def intercepting(
    make_proxy: MakeProxy, authority: Path, secure_origin: Origin, certificate: Certificate
) -> Intercepting:
    return Intercepting(make_proxy, authority, secure_origin, certificate)


def test_the_second_time_the_origin_may_be_gone(intercepting: Intercepting, secure_origin: Origin) -> None:
    secure_origin.put("/a", b"content", cache_control="max-age=60")
    assert intercepting.ask("/a")[:2] == (200, b"content")
    secure_origin.stop()
    status, body, told = intercepting.ask("/a")
    assert (status, body) == (200, b"content")
    assert "; hit; " in told
    assert f'key="https://{HOST}:{intercepting.port}/a"' in told
    assert intercepting.logged("intercepted")[0]["url"] == f"{HOST}:{intercepting.port}"
    assert intercepting.logged("hit")[0]["url"] == f"https://{HOST}:{intercepting.port}/a"


def test_no_thread_is_needed_before_the_first_request(intercepting: Intercepting) -> None:
    """Threads for requests begin when they are needed."""

    def threads() -> int:
        (worker,) = intercepting.proxy.worker_pids()
        return len(list(Path(f"/proc/{worker}/task").iterdir()))

    with intercepting.trusting().wrap_socket(intercepting.tunnel(), server_hostname=HOST):
        before = threads()
    assert intercepting.proxy.get("/api/v1/health/").status == 200
    assert threads() == before + 1


def test_many_requests_on_one_connection(intercepting: Intercepting, secure_origin: Origin) -> None:
    bodies = {f"/{number}": bytes([number]) * 50_000 * number for number in range(1, 8)}
    for path, body in bodies.items():
        secure_origin.put(path, body, cache_control="max-age=60", chunked=len(body) % 2 == 0)
    client = http.client.HTTPSConnection(
        *intercepting.proxy.address, timeout=20, context=intercepting.trusting()
    )
    client.set_tunnel(HOST, intercepting.port)
    with closing(client):
        for path in (*bodies, *bodies):
            client.request("GET", path)
            assert client.getresponse().read() == bodies[path]
    assert secure_origin.count("/7") == 1


def test_the_cache_itself_is_out_of_reach(intercepting: Intercepting, secure_origin: Origin) -> None:
    """And so is another origin: what the client has verified is the one that it asks."""
    for path in ("/", "/api/v1/health/", "/http://elsewhere.example/"):
        secure_origin.put(path, b"the origin's", cache_control="max-age=60")
        assert intercepting.ask(path)[:2] == (200, b"the origin's")
    assert intercepting.ask("/", headers={"Host": "elsewhere.example"})[0] == 421
    assert intercepting.ask("https://elsewhere.example/")[0] == 421


def test_equal_heads_by_another_way_in_have_another_answer(
    intercepting: Intercepting, secure_origin: Origin
) -> None:
    """Memory and store know the one for what it is, however often it is asked."""
    secure_origin.put("/api/v1/help/", b"the origin's", cache_control="max-age=60")
    for _ in range(3):
        assert intercepting.ask("/api/v1/help/")[1] == b"the origin's"
        plain = intercepting.proxy.get(
            f"http://{intercepting.proxy.netloc}/api/v1/help/", [("Host", f"{HOST}:{intercepting.port}")]
        )
        assert plain.body != b"the origin's"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"SSH-2.0-client\r\n", "other-protocol"),
        (b"\x16\x03\x01\x00\x00", "no-client-hello"),
        (b"\x16\x03\x01\x00\x05hello", "no-client-hello"),
        (b"\x00\x01\x02", "other-protocol"),
        (b"PRI * HTTP/2.0\r\n\r\n", "other-protocol"),
    ],
)
def test_what_is_no_http_passes_on(
    make_proxy: MakeProxy, authority: Path, certificate: Certificate, said: bytes, why: str
) -> None:
    with Origin() as origin, socket.create_server((HOST, 0)) as listener:
        origin.port = listener.getsockname()[1]
        intercepting = Intercepting(make_proxy, authority, origin, certificate)
        with intercepting.tunnel() as client:
            client.sendall(said)
            far = listener.accept()[0]
            with far:
                far.settimeout(10)
                assert far.recv(100) == said
                far.sendall(b"answer")
                assert client.recv(100) == b"answer"
        assert intercepting.logged("tunnelled")[0]["detail"] == why


def test_who_waits_for_the_server_gets_it(
    make_proxy: MakeProxy, authority: Path, certificate: Certificate
) -> None:
    with Origin() as origin, socket.create_server((HOST, 0)) as listener:
        origin.port = listener.getsockname()[1]
        intercepting = Intercepting(make_proxy, authority, origin, certificate)
        with intercepting.tunnel() as client:
            far = listener.accept()[0]
            far.sendall(b"220 ready\r\n")
            assert client.recv(100) == b"220 ready\r\n"
            far.close()
        assert intercepting.logged("tunnelled")[0]["detail"] == "silent"


def test_plain_http_in_a_tunnel_is_a_request(
    make_proxy: MakeProxy, authority: Path, origin: Origin, certificate: Certificate
) -> None:
    origin.put("/a", b"content", cache_control="max-age=60")
    intercepting = Intercepting(make_proxy, authority, origin, certificate)
    for _ in range(2):
        with intercepting.tunnel() as client:
            client.sendall(request("GET /a", f"Host: {HOST}:{origin.port}", "Connection: close"))
            head, _, body = b"".join(iter(lambda: client.recv(1 << 16), b"")).partition(b"\r\n\r\n")
            assert (head[:12], body) == (b"HTTP/1.1 200", b"content")
    assert origin.count("/a") == 1


@pytest.mark.parametrize(
    ("offered", "whom", "detail"),
    [
        (["imap"], "origin", "other-protocol"),
        (["h2"], "origin", "other-protocol"),  # as of gRPC, which needs HTTP/2 on all of the way
        (["x", "http/1.1"], "cache", ""),
    ],
)
def test_only_http_is_intercepted(
    intercepting: Intercepting, secure_origin: Origin, offered: list[str], whom: str, detail: str
) -> None:
    secure_origin.put("/", b"content")
    context = intercepting.trusting(whom)
    context.set_alpn_protocols(offered)
    with context.wrap_socket(intercepting.tunnel(), server_hostname=HOST) as client:
        client.sendall(request("GET /", f"Host: {HOST}:{intercepting.port}"))
        assert client.recv(12) == b"HTTP/1.1 200"
    if detail:
        assert intercepting.logged("tunnelled")[0]["detail"] == detail


def test_who_is_excepted_passes_on(
    make_proxy: MakeProxy, authority: Path, secure_origin: Origin, certificate: Certificate
) -> None:
    for hosts, exceptions in (([HOST], [HOST]), ([".example"], [])):
        intercept = {"hosts": hosts, "except": exceptions, "ca": str(authority)}
        intercepting = Intercepting(make_proxy, authority, secure_origin, certificate, intercept=intercept)
        context = intercepting.trusting("origin")
        with context.wrap_socket(intercepting.tunnel(), server_hostname=HOST) as client:
            assert client.getpeercert()
        assert intercepting.logged("tunnelled")[0]["detail"] == ("excepted" if exceptions else "not-listed")


def test_a_session_is_resumed(intercepting: Intercepting, secure_origin: Origin) -> None:
    secure_origin.put("/", b"content", cache_control="max-age=60")
    context, session = intercepting.trusting(), None
    for is_known in (False, True):
        with context.wrap_socket(intercepting.tunnel(), server_hostname=HOST, session=session) as client:
            client.sendall(request("GET /", f"Host: {HOST}:{intercepting.port}"))
            assert client.recv(12) == b"HTTP/1.1 200"
            assert client.session_reused == is_known
            session = client.session


def test_any_worker_resumes_a_session(
    make_proxy: MakeProxy, authority: Path, secure_origin: Origin, certificate: Certificate
) -> None:
    secure_origin.put("/", b"content", cache_control="max-age=60")
    intercepting = Intercepting(make_proxy, authority, secure_origin, certificate, workers=3)
    context, session, resumed = intercepting.trusting(), None, []
    opened = []
    for _ in range(13):  # all open at a time, so that each worker has some
        client = context.wrap_socket(intercepting.tunnel(), server_hostname=HOST, session=session)
        opened.append(client)
        client.sendall(request("GET /", f"Host: {HOST}:{intercepting.port}"))
        assert client.recv(12) == b"HTTP/1.1 200"
        resumed.append(client.session_reused)
        session = session or client.session
    for client in opened:
        client.close()
    assert resumed == [False] + [True] * 12


def test_an_unverified_origin_is_told_of_and_nothing_is_stored(
    make_proxy: MakeProxy, authority: Path, secure_origin: Origin, certificate: Certificate
) -> None:
    secure_origin.put("/", b"content", cache_control="max-age=60")
    intercepting = Intercepting(make_proxy, authority, secure_origin, certificate, fetch={})
    for _ in range(2):
        status, body, told = intercepting.ask("/")
        assert status == 502
        assert b"vouches" in body
        assert "stored" not in told
    assert secure_origin.count("/") == 0


class Kept:
    """One intercepted connection of a user, on which the same is asked again and again."""

    def __init__(self, intercepting: Intercepting, name: str, protocol: str) -> None:
        self._host = f"{HOST}:{intercepting.port}"
        self._http2 = StrictClient() if protocol == "h2" else None
        token = b64encode(f"{name}:secret".encode()).decode()
        sock = socket.create_connection(intercepting.proxy.address, 20)
        sock.sendall(request(f"CONNECT {self._host}", f"Proxy-Authorization: Basic {token}"))
        assert read_head(sock).startswith(b"HTTP/1.1 200 ")
        context = intercepting.trusting()
        context.set_alpn_protocols(list(dict.fromkeys((protocol, "http/1.1"))))
        self._tls = context.wrap_socket(sock, server_hostname=HOST)
        assert self._tls.selected_alpn_protocol() == protocol

    def status(self) -> int:
        if self._http2 is None:
            self._tls.sendall(request("GET /", f"Host: {self._host}"))
            answer = http.client.HTTPResponse(self._tls)
            answer.begin()
            answer.read()
            return answer.status
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", self._host), (":path", "/")]
        stream = self._http2.begin(fields)
        self._tls.sendall(self._http2.h2.data_to_send())
        while not self._http2.answers[stream].is_over:
            self._tls.sendall(self._http2.receive(self._tls.recv(1 << 16)))
        return int(self._http2.answers[stream].status)

    def close(self) -> None:
        self._tls.close()


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_who_is_no_user_any_more_gets_nothing_on_an_open_connection(
    make_proxy: MakeProxy,
    authority: Path,
    secure_origin: Origin,
    certificate: Certificate,
    tmp_path: Path,
    protocol: str,
) -> None:
    """Gone, or with another password: what is in memory is refused as well."""
    bcrypt = pytest.importorskip("bcrypt")

    def entry(name: bytes, password: bytes = b"secret") -> bytes:
        return name + b":" + bcrypt.hashpw(password, bcrypt.gensalt(4)) + b"\n"

    ann, users = entry(b"ann"), tmp_path / "users"
    secure_origin.put("/", b"content", cache_control="max-age=60")
    users.write_bytes(ann + entry(b"bob") + entry(b"eve"))
    options = {"proxy_auth": {"users": str(users)}}
    intercepting = Intercepting(make_proxy, authority, secure_origin, certificate, **options)
    kept = [Kept(intercepting, name, protocol) for name in ("ann", "bob", "eve")]
    for _ in range(3):
        assert [one.status() for one in kept] == [200, 200, 200]
    users.write_bytes(ann + entry(b"bob", b"other"))
    for one in kept[1:]:
        until(lambda one=one: one.status() == 403)  # type: ignore[misc]
    for _ in range(3):
        assert kept[0].status() == 200
    with suppress(OSError):  # HTTP/2 goes on, and HTTP/1.1 ends
        assert kept[1].status() == 403
    for one in kept:
        one.close()
    refused = intercepting.logged("refused")
    assert {(line["status"], line["user"], line["detail"]) for line in refused} == {
        (403, "bob", "UserChanged"),
        (403, "eve", "UserChanged"),
    }


def test_users_log_in_for_the_whole_connection(
    make_proxy: MakeProxy, authority: Path, secure_origin: Origin, certificate: Certificate, tmp_path: Path
) -> None:
    bcrypt = pytest.importorskip("bcrypt")
    users = tmp_path / "users"
    users.write_bytes(
        b"".join(
            name + b":" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n" for name in (b"ann", b"bob")
        )
    )
    secure_origin.put("/", b"content", cache_control="max-age=60")
    options = {"proxy_auth": {"users": str(users)}}
    intercepting = Intercepting(make_proxy, authority, secure_origin, certificate, **options)
    with pytest.raises(OSError, match="407"):
        intercepting.ask("/")
    for name in ("ann", "bob", "ann"):
        client = http.client.HTTPSConnection(
            *intercepting.proxy.address, timeout=20, context=intercepting.trusting()
        )
        token = b64encode(f"{name}:secret".encode()).decode()
        client.set_tunnel(HOST, intercepting.port, {"Proxy-Authorization": f"Basic {token}"})
        with closing(client):
            for _ in range(2):
                client.request("GET", "/")
                assert client.getresponse().read() == b"content"
    until(lambda: len(intercepting.logged("hit")) == 5)
    assert [line["user"] for line in intercepting.logged("hit")] == ["ann", "bob", "bob", "ann", "ann"]
    assert b"authorization" not in b"".join(
        name.lower().encode() for asked in secure_origin.requests for name, _ in asked.headers
    )
