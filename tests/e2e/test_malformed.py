"""What is no proper HTTP is refused with a reason, the connection closed, and no origin sees it."""

import contextlib
import ssl
from collections.abc import Callable, Iterator

import pytest
from harness import Proxy
from origin import Origin
from raw import Conversation, request

SECRET = "s3cret"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as running:
        running.put("/ok", b"fine", cache_control="no-store")
        running.put("/post", b"posted")
        yield running


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    config = {"log": {"level": "debug", "access": "-"}}
    with Proxy(tmp_path_factory.mktemp("malformed"), config=config) as running:
        running.get("/api/v1/health/")  # answered: the worker is there
        workers = running.worker_pids()
        yield running
        assert running.worker_pids() == workers  # no refusal has cost the worker


@pytest.fixture(autouse=True)
def fresh(origin: Origin) -> None:
    origin.forget()


HEADS = {
    "no version": ("GET {url}\r\nHost: h\r\n\r\n", 400),
    "HTTP/2.0": ("GET {url} HTTP/2.0\r\nHost: h\r\n\r\n", 400),
    "no Host": ("GET {url} HTTP/1.1\r\n\r\n", 400),
    "two Hosts": ("GET {url} HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400),
    "empty Host": ("GET {url} HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "empty Host in HTTP/1.0": ("GET {url} HTTP/1.0\r\nHost: \r\n\r\n", 400),
    "listed Hosts": ("GET {url} HTTP/1.1\r\nHost: h, i\r\n\r\n", 400),
    "two Hosts in one": ("GET {url} HTTP/1.1\r\nHost: h i\r\n\r\n", 400),
    "user in Host": ("GET {url} HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
    "path in Host": ("GET {url} HTTP/1.1\r\nHost: h/x\r\n\r\n", 400),
    "port of Host no number": ("GET {url} HTTP/1.1\r\nHost: h:x\r\n\r\n", 400),
    "two spaces": ("GET  {url} HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "bare LF": ("GET {url} HTTP/1.1\nHost: h\n\n", 400),
    "folded field": ("GET {url} HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400),
    "space before colon": ("GET {url} HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n", 400),
    "space in field name": ("GET {url} HTTP/1.1\r\nHost: h\r\nX Y: a\r\n\r\n", 400),
    "no colon": ("GET {url} HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n", 400),
    "NUL in field": ("GET {url} HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400),
    "CR in field": ("GET {url} HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400),
    "method no token": ("G(T {url} HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "control character in target": ("GET {url}\x01 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "user in URL and no host": ("GET http://user:s3cret@/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "no port number": ("GET http://h:port/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "no host in URL": ("GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "other expectation": ("GET {url} HTTP/1.1\r\nHost: h\r\nExpect: wonders\r\n\r\n", 417),
    "long request line": ("GET {url}?" + "q" * 16384 + " HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "long field": ("GET {url} HTTP/1.1\r\nHost: h\r\nX: " + "x" * 16384 + "\r\n\r\n", 400),
    "many fields": ("GET {url} HTTP/1.1\r\nHost: h\r\n" + "X: y\r\n" * 100 + "\r\n", 400),
    "length and coding": (
        "POST {url} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "two lengths": (
        "POST {url} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 3\r\n\r\n",
        400,
    ),
    "listed lengths": ("POST {url} HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 3\r\n\r\n", 400),
    "signed length": ("POST {url} HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\n", 400),
    "negative length": ("POST {url} HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\n", 400),
    "hex length": ("POST {url} HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\n", 400),
    "superscript length": ("POST {url} HTTP/1.1\r\nHost: h\r\nContent-Length: \xb3\r\n\r\n", 400),
    "length beyond 63 bits": (
        "POST {url} HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775808\r\n\r\n",
        400,
    ),
    "length beyond 64 bits": (
        "POST {url} HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551619\r\n\r\n",
        400,
    ),
    "length of 5000 digits": (
        "POST {url} HTTP/1.1\r\nHost: h\r\nContent-Length: " + "9" * 5000 + "\r\n\r\n",
        400,
    ),
    **{
        f"{name} {method}": (f"{method} {{url}} HTTP/1.1\r\nHost: h\r\n{name}: 3\r\n\r\n", 400)
        for method in ("GET", "POST")
        for name in ("Content_Length", "content.length", "Transfer_Encoding", "TRANSFER~ENCODING")
    },
    "coded as nothing and chunked": (
        "POST {url} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "CONNECT without a port": ("CONNECT h HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "CONNECT with content": ("CONNECT h:443 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n", 400),
    "CONNECT with chunks": (
        "CONNECT h:443 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "other scheme": ("GET ftp://h/x HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    "unknown coding": ("POST {url} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
    "coded twice": ("POST {url} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "not chunked last": ("POST {url} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    "chunked twice": (
        "POST {url} HTTP/1.1\r\nHost: h\r\n" + "Transfer-Encoding: chunked\r\n" * 2 + "\r\n",
        400,
    ),
    "coding with VT": ("POST {url} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", 400),
    "chunked in HTTP/1.0": ("POST {url} HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
}


@pytest.mark.parametrize(("head", "status"), HEADS.values(), ids=HEADS.keys())
def test_is_refused_and_what_follows_is_not_read(
    cache: Proxy, origin: Origin, head: str, status: int
) -> None:
    sent = head.replace("{url}", origin.url("/post")).encode("latin-1")
    with Conversation(cache.address) as client:
        client.send(sent + request(f"GET {origin.url('/ok')}"))
        reply = client.reply()
        assert (reply.status, client.rest()) == (status, b"")
    assert reply.body.strip()
    error = "http_request_denied" if status == 501 else "http_request_error"
    assert f"; error={error}" in (reply.get("Proxy-Status") or "")
    assert origin.requests == []


@pytest.mark.parametrize(
    ("target", "status"),
    [("CONNECT example.org:25", 403), ("GET ftp://example.org/", 501), ("GET /nowhere", 404)],
)
def test_what_is_understood_but_not_done(cache: Proxy, target: str, status: int) -> None:
    with Conversation(cache.address) as client:
        assert client.send(request(target)).reply().status == status


BODIES = {
    "no chunk size": (b"nonsense\r\n", 400),
    "chunk without end": (b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "signed chunk size": (b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "chunk size with LF": (b"3\nabc\n0\n\n", 400),
    "cut in a chunk": (b"ff\r\nabc", 400),
    "no last chunk": (b"3\r\nabc\r\n", 400),
    "no end after the last chunk": (b"3\r\nabc\r\n0\r\n", 400),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES.keys())
def test_broken_chunked_body_never_ends_whole_at_the_origin(
    cache: Proxy, origin: Origin, body: bytes, status: int
) -> None:
    head = request(f"POST {origin.url('/post')}", "Transfer-Encoding: chunked")
    with Conversation(cache.address) as client:
        reply = client.send(head + body).finish().reply()
        assert (reply.status, client.rest()) == (status, b"")
    assert origin.requests == []  # the origin reads a whole body before it counts a request


def test_short_body_does_not_spoil_the_connection_to_the_origin(cache: Proxy, origin: Origin) -> None:
    cache.get(origin.url("/ok"))
    head = request(f"POST {origin.url('/post')}", "Content-Length: 100")
    with Conversation(cache.address) as client:
        reply = client.send(head + b"x" * 50).finish().reply()
        assert (reply.status, client.rest()) == (400, b"")
    assert b"50 bytes" in reply.body
    assert cache.get(origin.url("/ok")).body == b"fine"
    assert [asked.body for asked in origin.asked("/ok")] == [b"", b""]


def client_hello() -> bytes:
    """What a client sends that takes the port for one of https."""
    context, sent = ssl.create_default_context(), ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="cache.example.org")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (client_hello(), "it begins TLS, and this port speaks plain HTTP"),
        (client_hello().replace(b"\n", b"\r"), "it begins TLS, and this port speaks plain HTTP"),
        (b"\x05\x02\x00\x02", "it begins SOCKS, and this port speaks HTTP"),
        (b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", "it begins SOCKS, and this port speaks HTTP"),
        (b"\x80\x2e\x01", "it begins no request line, and this port speaks HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "it begins HTTP/2, and this port speaks HTTP/1.1"),
    ],
    ids=["TLS", "TLS without a line", "SOCKS 5", "SOCKS 4", "unknown", "HTTP/2"],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_another_protocol_is_named(cache: Proxy, data: bytes, told: str, step: int) -> None:
    with Conversation(cache.address) as client:
        with contextlib.suppress(OSError):  # it is refused by its first bytes
            for start in range(0, len(data), step):
                client.send(data[start : start + step])
        reply = client.reply()
    assert (reply.status, told in reply.body.decode()) == (400, True)
    assert f"refused a request of 127.0.0.1: {told}" in cache.log()


def test_long_request_line_within_the_limit(cache: Proxy, origin: Origin) -> None:
    url = f"{origin.url('/ok')}?{'q' * 12000}"
    assert cache.get(url).body == b"fine"
    assert origin.asked("/ok")[0].target == f"/ok?{'q' * 12000}"


def test_limits_are_configurable(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy(config={"limits": {"header_fields": 3, "header_size": "100", "request_line": "200"}})
    url = origin.url("/ok")
    assert proxy.get(url).status == 200  # Host and Connection
    assert proxy.get(url, [("A", "1"), ("B", "2")]).status == 400
    assert proxy.get(url, [("A", "1" * 100)]).status == 400
    assert proxy.get(f"{url}?{'q' * 200}").status == 400


@pytest.mark.parametrize("data", [b"", b"\r\n", b"GET", b"GET / HTTP/1.1\r\nHost:"])
def test_client_that_leaves_before_it_has_asked(cache: Proxy, origin: Origin, data: bytes) -> None:
    with Conversation(cache.address) as client:
        assert client.send(data).finish().rest() == b""
    assert cache.get(origin.url("/ok")).body == b"fine"


def test_secrets_are_not_logged(cache: Proxy, origin: Origin) -> None:
    """Runs last: the log has all that the others did, at level debug."""
    url = f"{origin.url('/ok')}?token={SECRET}"
    authorization = f"Authorization: Basic {SECRET}"
    encoded = url.replace(":", "%3A").replace("/", "%2F").replace("?", "%3F").replace("=", "%3D")
    for target in (url, f"/{url}", f"/{encoded}", f"/api/v1/fetch/?url={encoded}", f"/x?token={SECRET}"):
        with Conversation(cache.address) as client:
            client.send(request(f"GET {target}", authorization, "Connection: close")).rest()
        for broken in (f"GET {target} HTTP/9.9", f"GET  {target}", "GET"):
            with Conversation(cache.address) as client:
                client.send(request(broken, authorization)).finish().rest()
    with Conversation(cache.address) as client:
        client.send(request(f"GET {url}", f"Authorization : {SECRET}")).rest()
    with Conversation(cache.address) as client:
        client.send(f"GET {url} HTTP/1.1\r\nAuthorization: {SECRET}".encode()).finish().rest()
    origin.put("/broken", b"x" * 1000, break_at=500, cache_control="no-store")
    with Conversation(cache.address) as client, pytest.raises(ConnectionError):
        client.send(request(f"GET /{origin.url('/broken').replace('/', '%2F')}%3Ftoken%3D{SECRET}")).reply()
    assert "/broken" in cache.log()
    assert SECRET not in cache.log()
