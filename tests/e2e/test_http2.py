"""HTTP/2 with real clients: all ways to ask, flow control, tunnels, and what ends a stream alone."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import pytest
from certificates import Certificate, make_certificate
from harness import Proxy, clean_environment
from http2_clients import Http2Client, tls_proxy
from origin import Generated, Origin
from raw import request
from scripted import read_head
from strict_http2 import Fields, StrictClient
from waiting import until

from pyproxycache.tls.certificate_authority import CertificateAuthority

BODY = Generated(3_000_000, seed=92)
DIGEST = BODY.sha256()
FRESH = "max-age=3600"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("pair"), "DNS:localhost,IP:127.0.0.1")


@pytest.fixture
def secured(tmp_path: Path, pair: Certificate) -> Iterator[Proxy]:
    log = {"access": str(tmp_path / "access.log"), "format": "json"}
    with tls_proxy(tmp_path / "proxy", pair, config={"log": log}) as proxy:
        yield proxy


def lines(tmp_path: Path) -> list[dict[str, object]]:
    file = tmp_path / "access.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def by_proxy(url: str, method: str = "GET", *more: tuple[str, str]) -> Fields:
    """The fields of a request to a proxy for this URL."""
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    return [
        (":method", method), (":scheme", scheme), (":authority", authority), (":path", f"/{path}"), *more,
    ]  # fmt: skip


def by_prefix(proxy: Proxy, url: str) -> Fields:
    return by_proxy(f"https://{proxy.netloc}/{url}")


def curl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    version = subprocess.run(["curl", "--version"], capture_output=True, check=True).stdout
    if b"HTTP2" not in version:
        pytest.skip("this curl speaks no HTTP/2")
    command = ["curl", "-sS", "--http2", "-k", *arguments]
    return subprocess.run(command, cwd=folder, env=clean_environment({}), capture_output=True, timeout=60)


def test_curl(secured: Proxy, origin: Origin, tmp_path: Path) -> None:
    origin.put("/file", BODY, cache_control=FRESH)
    url = f"https://{secured.netloc}/{origin.url('/file')}"
    told = ["-w", "%{http_version} %{http_code} %{size_download}\n"]
    for name in ("one", "other"):
        done = curl(tmp_path, "-f", "-o", name, "-D", f"{name}.head", *told, url)
        assert (done.returncode, done.stdout) == (0, b"2 200 3000000\n"), done.stderr
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == DIGEST
    assert "; hit" in (tmp_path / "other.head").read_text()
    assert curl(tmp_path, "-I", "-o", "head", *told, url).stdout == b"2 200 0\n"
    assert curl(tmp_path, "-r", "5-14", "-o", "part", *told, url).stdout == b"2 206 10\n"
    upload = curl(tmp_path, "-X", "POST", "--data-binary", "@one", "-o", "up", *told, url)
    assert upload.stdout.startswith(b"2 "), upload.stderr
    assert hashlib.sha256(origin.requests[-1].body).hexdigest() == DIGEST
    assert origin.asked("/file")[-1].method == "POST"
    until(lambda: lines(tmp_path))
    assert lines(tmp_path)[0]["version"] == "HTTP/2.0"


NODE = """
const http2 = require("http2"), crypto = require("crypto");
const [authority, path, count] = process.argv.slice(1);
const client = http2.connect(authority, {rejectUnauthorized: false});
let left = +count;
const digests = new Set();
for (let i = 0; i < +count; i++) {
  const hash = crypto.createHash("sha256"), stream = client.request({":path": path, "x-number": `${i}`});
  stream.on("data", (data) => hash.update(data));
  stream.on("end", () => {
    digests.add(hash.digest("hex"));
    if (!--left) { console.log([...digests].join(" ")); client.close(); }
  });
}
"""


def test_node_on_many_streams(secured: Proxy, origin: Origin, tmp_path: Path) -> None:
    """All ask at once for what is not stored, and there is one download."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    origin.put("/file", BODY, cache_control=FRESH)
    command = [node, "-e", NODE, f"https://{secured.netloc}", f"/{origin.url('/file')}", "50"]
    done = subprocess.run(command, capture_output=True, timeout=60, env=clean_environment({}), check=False)
    assert (done.returncode, done.stdout.decode().strip()) == (0, DIGEST), done.stderr
    assert origin.count("/file") == 1


def test_the_ways_to_ask(secured: Proxy, origin: Origin) -> None:
    origin.put("/a", b"body", cache_control=FRESH)
    with Http2Client(secured.address) as client:
        for fields in (by_proxy(origin.url("/a")), by_prefix(secured, origin.url("/a"))):
            for found in ("fwd=uri-miss", "; hit", "; hit"):
                answered = client.get(fields)
                assert (answered.status, answered.body) == ("200", b"body")
                assert found in answered.fields[0]["cache-status"] or fields[1] == (":scheme", "https")
        answered = client.get(by_proxy(f"https://{secured.netloc}/nothing"))
        assert answered.status == "404"
        assert f"http_proxy=https://{secured.netloc} in".encode() in answered.body
        answered = client.get(by_proxy(f"https://{secured.netloc}/api/v1/health/"))
        assert (answered.status, answered.body) == ("200", b"ok")
    assert origin.count("/a") == 1


def test_versions_are_kept_apart(secured: Proxy, origin: Origin, tmp_path: Path) -> None:
    """The same head by both: each has its framing, and its version in the log."""
    origin.put("/a", b"body", cache_control=FRESH)
    target = f"/{origin.url('/a')}"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Http2Client(secured.address) as client:
        for _ in range(3):
            assert client.get(by_prefix(secured, origin.url("/a"))).body == b"body"
            with context.wrap_socket(socket.create_connection(secured.address, 30)) as sock:
                sock.sendall(f"GET {target} HTTP/1.1\r\nhost: {secured.netloc}\r\n\r\n".encode())
                came = sock.recv(1 << 16)
                assert came.startswith(b"HTTP/1.1 200 OK\r\n")
                assert came.endswith(b"\r\n\r\nbody")
    until(lambda: len(lines(tmp_path)) == 6)
    assert {str(line["version"]) for line in lines(tmp_path)} == {"HTTP/1.1", "HTTP/2.0"}


def test_a_slow_stream_holds_no_thread_and_no_other_stream(
    tmp_path: Path, pair: Certificate, origin: Origin
) -> None:
    origin.put("/large", Generated(20_000_000, seed=1), cache_control=FRESH)
    origin.put("/small", b"small", cache_control=FRESH)
    with (
        tls_proxy(tmp_path / "proxy", pair, threads=2) as proxy,
        Http2Client(proxy.address, window=10_000) as client,
    ):
        client.reads = False
        slow = [client.ask(by_prefix(proxy, origin.url("/large"))) for _ in range(6)]
        client.read_until(lambda: all(len(client.answers[one].body) == 10_000 for one in slow))
        client.reads = True
        for _ in range(20):
            assert client.get(by_prefix(proxy, origin.url("/small"))).body == b"small"
        assert not any(client.answers[one].is_over for one in slow)


def test_content_goes_on_at_the_pace_of_who_reads_it(secured: Proxy, origin: Origin) -> None:
    content = Generated(2_000_000, seed=3).slice(0, 2_000_000)
    with Http2Client(secured.address) as client:
        for more in ((), (("content-length", "2000000"),)):
            answered = client.get(by_proxy(origin.url("/up"), "POST", *more), content)
            assert answered.status == "404"  # the origin has nothing there, and has read all
            assert origin.requests[-1].body == content


def test_a_reset_cancels_what_is_done_for_it_alone(secured: Proxy, origin: Origin) -> None:
    origin.put("/slow", b"slow", cache_control=FRESH)
    gate = origin.gate("/slow")
    with Http2Client(secured.address) as client:
        first = client.ask(by_prefix(secured, origin.url("/slow")))
        gate.wait_reached()
        second = client.ask(by_prefix(secured, origin.url("/slow")))
        client.h2.reset_stream(first)
        client.flush()
        assert client.get(by_proxy(f"https://{secured.netloc}/api/v1/health/")).body == b"ok"
        gate.open()
        (answered,) = client.all_of([second])
        assert answered.body == b"slow"
    assert origin.count("/slow") == 1


def test_a_reset_breaks_the_request_to_the_origin_off(
    secured: Proxy, origin: Origin, tmp_path: Path
) -> None:
    origin.put("/slow", b"slow")
    gate = origin.gate("/slow")
    with Http2Client(secured.address) as client:
        stream = client.ask(by_proxy(origin.url("/slow")))
        gate.wait_reached()
        client.h2.reset_stream(stream)
        client.flush()
        until(lambda: lines(tmp_path))  # though the origin has not answered
        gate.open()


def test_a_body_that_breaks_off_is_a_reset(secured: Proxy, origin: Origin) -> None:
    origin.put("/cut", Generated(200_000, seed=4), break_at=100_000)
    with Http2Client(secured.address) as client:
        answered = client.get(by_proxy(origin.url("/cut"), "POST"), b"content")
        assert (answered.is_whole, answered.reset) == (False, 2)
        assert client.get(by_proxy(f"https://{secured.netloc}/api/v1/health/")).body == b"ok"


def test_tunnels(tmp_path: Path, pair: Certificate) -> None:
    """Two at a time on one connection, with TLS in them; and one that is refused."""
    with Origin(tls=pair.server()) as behind:
        behind.put("/file", BODY)
        config = {"connect": {"ports": [behind.port]}}
        with (
            tls_proxy(tmp_path / "proxy", pair, config=config) as proxy,
            Http2Client(proxy.address) as client,
        ):
            ends = [_Tunnelled(client, f"127.0.0.1:{behind.port}") for _ in range(2)]
            for end in ends:
                end.shake()
                end.write(b"GET /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            for end in ends:
                assert hashlib.sha256(end.read_all().partition(b"\r\n\r\n")[2]).hexdigest() == DIGEST
            refused = client.get([(":method", "CONNECT"), (":authority", "127.0.0.1:1")])
            assert refused.status == "403"
            assert client.get(by_proxy(f"https://{proxy.netloc}/api/v1/health/")).body == b"ok"


def test_whose_url_it_is(tmp_path: Path, pair: Certificate) -> None:
    """The cache's own, where the client has connected to that name; another server's, by this proxy."""
    with Origin(tls=pair.server()) as behind:
        behind.put("/api/v1/health/", b"the origin's")
        config = {"fetch": {"ca_file": str(pair.certificate)}}
        with tls_proxy(tmp_path / "proxy", pair, config=config) as proxy:
            port = proxy.address[1]
            for server_name in (None, "localhost"):
                with Http2Client(proxy.address, server_name=server_name) as client:
                    answered = client.get(by_proxy(f"https://localhost:{port}/api/v1/health/"))
                    assert answered.body == b"ok"
            with Http2Client(proxy.address, server_name="localhost") as client:
                answered = client.get(by_proxy(behind.url("/api/v1/health/")))
                assert answered.body == b"the origin's"


def test_hints_before_an_answer(secured: Proxy, origin: Origin) -> None:
    raw = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    origin.put("/a", handler=lambda _asked: raw)
    with Http2Client(secured.address) as client:
        answered = client.get(by_proxy(origin.url("/a")))
    assert [one[":status"] for one in answered.fields] == ["103", "200"]
    assert answered.fields[0]["link"] == "</a>"
    assert answered.body == b"ok"


def test_a_stop_lets_an_answer_end(secured: Proxy, origin: Origin, tmp_path: Path) -> None:
    origin.put("/file", BODY, cache_control=FRESH)
    gate = origin.gate("/file", 1_000_000)
    url = f"https://{secured.netloc}/{origin.url('/file')}"
    with ThreadPoolExecutor() as threads:
        download = threads.submit(curl, tmp_path, "-f", "-o", "file", url)
        gate.wait_reached()
        stopped = threads.submit(secured.terminate)
        until(lambda: not _accepts(secured.address))
        gate.open()
        assert download.result().returncode == 0, download.result().stderr
        assert stopped.result() == 0
    assert hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest() == DIGEST


def _accepts(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 5).close()
    except OSError:
        return False
    return True


def test_users_log_in_on_each_stream(tmp_path: Path, pair: Certificate, origin: Origin) -> None:
    origin.put("/a", b"body", cache_control=FRESH)
    users = tmp_path / "users"
    users.write_bytes(b"ann:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)) + b"\n")
    config = {"proxy_auth": {"users": str(users)}}
    with tls_proxy(tmp_path / "proxy", pair, config=config) as proxy, Http2Client(proxy.address) as client:
        credentials = ("proxy-authorization", "Basic " + b64encode(b"ann:secret").decode())
        for _ in range(3):
            refused = client.get(by_proxy(origin.url("/a")))
            assert (refused.status, "proxy-authenticate" in refused.fields[0]) == ("407", True)
            assert client.get(by_proxy(origin.url("/a"), "GET", credentials)).body == b"body"
    assert origin.count("/a") == 1
    assert origin.asked("/a")[0].get("proxy-authorization") is None


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority for interception."""
    folder = tmp_path_factory.mktemp("authority") / "ca"
    CertificateAuthority.create(folder, time.time())
    return folder


def test_an_intercepted_host(make_proxy: Callable[..., Proxy], authority: Path, pair: Certificate) -> None:
    """By HTTP/2 in the tunnel: its answers are those of HTTP/1.1, out of the same store."""
    with Origin(tls=pair.server()) as behind:
        behind.put("/a", b"content", cache_control=FRESH)
        proxy = make_proxy(config=_intercepting(behind, authority, pair))
        trusting = ssl.create_default_context(cafile=str(authority / "ca.pem"))
        trusting.set_alpn_protocols(["h2", "http/1.1"])
        for _ in range(2):
            plain = socket.create_connection(proxy.address, 30)
            plain.sendall(request(f"CONNECT 127.0.0.1:{behind.port}"))
            assert read_head(plain).startswith(b"HTTP/1.1 200 ")
            sock = trusting.wrap_socket(plain, server_hostname="127.0.0.1")
            assert sock.selected_alpn_protocol() == "h2"
            with Http2Client(None, sock=sock) as client:
                asked = [client.ask(by_proxy(behind.url("/a"))) for _ in range(20)]
                assert {one.body for one in client.all_of(asked)} == {b"content"}
                assert client.get(by_proxy(f"https://elsewhere.example:{behind.port}/a")).status == "421"
                assert client.get(by_proxy(f"http://127.0.0.1:{behind.port}/a")).status == "421"
        assert behind.count("/a") == 1


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_an_intercepted_host_in_a_tunnel_on_a_stream(
    tmp_path: Path, authority: Path, pair: Certificate, protocol: str
) -> None:
    with Origin(tls=pair.server()) as behind:
        behind.put("/a", b"content" * 10_000, cache_control=FRESH)
        config = _intercepting(behind, authority, pair)
        with (
            tls_proxy(tmp_path / "proxy", pair, config=config) as proxy,
            Http2Client(proxy.address) as outer,
        ):
            for _ in range(2):
                inner = _Tunnelled(outer, f"127.0.0.1:{behind.port}", protocol)
                inner.shake()
                assert inner.protocol == protocol
                assert inner.asked(behind.url("/a")) == [b"content" * 10_000] * 2
        assert behind.count("/a") == 1


def _intercepting(behind: Origin, authority: Path, pair: Certificate) -> dict[str, object]:
    return {
        "connect": {"ports": [behind.port]},
        "intercept": {"hosts": ["*"], "ca": str(authority)},
        "fetch": {"ca_file": str(pair.certificate)},
    }


class _Tunnelled:
    """A connection in TLS through a tunnel on a stream of its own."""

    def __init__(self, client: Http2Client, authority: str, protocol: str = "http/1.1") -> None:
        self._client = client
        self._stream = client.open([(":method", "CONNECT"), (":authority", authority)])
        self._came = client.answers[self._stream]
        client.read_until(lambda: bool(self._came.fields))
        assert self._came.status == "200"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(list(dict.fromkeys((protocol, "http/1.1"))))
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)

    def shake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._exchange()
            else:
                return

    def write(self, data: bytes) -> None:
        if data:
            self._tls.write(data)
            self._client.send_on(self._stream, self._outgoing.read())

    @property
    def protocol(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    def asked(self, url: str) -> list[bytes]:
        """The content of the answers to two requests for the URL, one behind the other."""
        if self.protocol != "h2":
            path = "/" + url.split("/", 3)[3]
            head = f"GET {path} HTTP/1.1\r\nHost: {url.split('/')[2]}\r\n"
            self.write(f"{head}\r\n{head}Connection: close\r\n\r\n".encode())
            return [one.partition(b"\r\n\r\n")[2] for one in self.read_all().split(b"HTTP/1.1 200 OK")[1:]]
        client = StrictClient()
        asked = [client.begin(by_proxy(url)) for _ in range(2)]
        self.write(client.h2.data_to_send())
        while not all(client.answers[one].is_over for one in asked):
            if (data := self._read()) is not None:
                self.write(client.receive(data))
        return [client.answers[one].body for one in asked]

    def _read(self) -> bytes | None:
        """What has come, b"" at the end; None if more has to be read for it."""
        try:
            return self._tls.read(1 << 16)
        except ssl.SSLWantReadError:
            self._exchange()
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def read_all(self) -> bytes:
        """All up to the end, which the far end has told."""
        pieces = []
        while (data := self._read()) != b"":
            pieces.append(data or b"")
        return b"".join(pieces)

    def _exchange(self) -> None:
        """Send what TLS has to say, and read on."""
        if self._outgoing.pending:
            self._client.send_on(self._stream, self._outgoing.read())
        self._client.read_until(lambda: bool(self._came.body) or self._came.is_over)
        self._incoming.write(self._came.body)
        if not self._came.body:
            self._incoming.write_eof()
        self._came.body = b""
