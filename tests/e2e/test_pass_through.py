"""What goes through: methods, bodies and fields as they were sent, and every kind of answer's framing."""

import socket
from collections.abc import Callable, Iterator

import pytest
from harness import Proxy
from origin import Asked, Generated, Origin, Resource
from raw import Conversation, request

LARGE = Generated(3 << 20, seed=5)


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as running:
        running.put("/", b"root", cache_control="no-store")
        running.put("/page", b"a page", cache_control="max-age=60")
        running.put("/large", LARGE, cache_control="no-store")
        running.put("/stored", LARGE, cache_control="max-age=60", etag='"v"')
        running.put("/chunked", b"in chunks", chunked=True, cache_control="no-store")
        running.put("/endless", b"till the end", no_length=True, cache_control="no-store")
        running.put("/empty", status=204)
        yield running


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(tmp_path_factory.mktemp("pass")) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(origin: Origin) -> None:
    origin.forget()


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


# Requests.


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "x-own"])
def test_other_methods_go_to_the_origin_each_time(cache: Proxy, origin: Origin, method: str) -> None:
    for body in (b"first", b"second", b""):
        assert cache.get(origin.url("/page"), method=method, body=body).body == b"a page"
    assert [(asked.method, asked.body) for asked in origin.asked("/page")] == [
        (method, b"first"),
        (method, b"second"),
        (method, b""),
    ]


def test_large_bodies_both_ways(cache: Proxy, origin: Origin) -> None:
    body = LARGE.slice(0, LARGE.size)
    reply = cache.get(origin.url("/large"), method="POST", body=body)
    assert reply.complete
    assert reply.body == body
    assert origin.asked("/large")[0].body == body


def test_chunked_request_body_stays_chunked(cache: Proxy, origin: Origin) -> None:
    head = request(f"POST {origin.url('/page')}", "Transfer-Encoding: chunked", "Trailer: X-Sum")
    body = chunked(b"one", b"two" * 100_000)
    with Conversation(cache.address) as client:
        assert client.send(head + body).reply().body == b"a page"
        assert client.send(request(f"GET {origin.url('/')}")).reply().body == b"root"
    (asked,) = origin.asked("/page")
    assert asked.body == b"one" + b"two" * 100_000
    assert (asked.get("Transfer-Encoding"), asked.get("Content-Length")) == ("chunked", None)


def test_expectation_is_met_before_the_body_is_sent(cache: Proxy, origin: Origin) -> None:
    head = request(f"POST {origin.url('/page')}", "Expect: 100-continue", "Content-Length: 4")
    with Conversation(cache.address) as client:
        assert client.send(head).head().status == 100
        assert client.send(b"body").reply().body == b"a page"
    assert origin.asked("/page")[0].body == b"body"


def test_old_client_gets_no_interim_answer(cache: Proxy, origin: Origin) -> None:
    head = request(f"POST {origin.url('/page')} HTTP/1.0", "Expect: 100-continue", "Content-Length: 4")
    with Conversation(cache.address) as client:
        assert client.send(head + b"body").head().status == 200


def test_fields_go_on_as_they_are_but_for_those_of_the_hop(cache: Proxy, origin: Origin) -> None:
    fields = [
        ("X-Line", "one"),
        ("X-Line", "two"),
        ("X_Under", "score"),
        ("X-Under", "dash"),
        ("X-Latin", "caf\xe9"),
        ("X-Empty", ""),
        ("X-Forwarded-For", "192.0.2.1"),
        ("Connection", "X-Hop, keep-alive"),
        ("X-Hop", "1"),
        ("Keep-Alive", "5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic c2VjcmV0"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
    ]
    assert cache.get(origin.url("/"), fields, method="POST", body=b"x").status == 200
    (asked,) = origin.requests
    got = [(name.lower(), value) for name, value in asked.headers]
    assert [value for name, value in got if name == "x-line"] == ["one", "two"]
    assert {("x_under", "score"), ("x-under", "dash"), ("x-latin", "caf\xe9"), ("x-empty", "")} < set(got)
    assert asked.get("X-Forwarded-For") == "192.0.2.1"
    assert asked.get("Host") == origin.url("/").split("/")[2]
    hop = {"x-hop", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"}
    assert not hop & {name for name, _value in got}
    assert (asked.get("Via") or "").startswith("1.1 pyproxycache-")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_names_are_written_as_the_client_wrote_them(cache: Proxy, origin: Origin, method: str) -> None:
    """They mean the same in any case, but not to every server (RFC 9110 section 5.1)."""
    names = ["X-API-KEY", "x-lower", "DNT", "access_token", "Sec-WebSocket-Key"]
    with Conversation(cache.address) as client:
        fields = [f"{name}: 1" for name in names]
        client.send(request(f"{method} {origin.url('/')}", "host: cache", *fields, "X-Two: a", "X-Two: b"))
        assert client.reply().status == 200
    assert [*names, "X-Two", "X-Two"] == [
        name for name, _value in origin.requests[0].headers if name not in ("Host", "Via", "Content-Length")
    ]


def test_via_of_others_is_kept(cache: Proxy, origin: Origin) -> None:
    reply = cache.get(origin.url("/"), [("Via", "1.0 elsewhere")])
    ours = reply.get("Via")
    assert origin.requests[0].get("Via") == f"1.0 elsewhere, {ours}"


# Answers.


def test_fields_of_the_answer(cache: Proxy, origin: Origin) -> None:
    headers = [
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2, 3"),
        ("X-Latin", "caf\xe9"),
        ("X_Under", "score"),
        ("Connection", "X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Server", "origin's own"),
    ]
    origin.put("/fields", b"x", headers=headers, status=203, cache_control="no-store")
    reply = cache.get(origin.url("/fields"))
    assert (reply.status, reply.reason) == (203, "Non-Authoritative Information")
    assert [value for name, value in reply.headers if name == "Set-Cookie"] == ["a=1", "b=2, 3"]
    assert reply.get("X-Latin") == "caf\xe9"
    assert reply.get("X_Under") == "score"
    assert reply.get("Server") == "origin's own"
    assert [name for name, _value in reply.headers].count("Date") == 1
    assert not {"X-Hop", "Keep-Alive", "Proxy-Authenticate"} & {name for name, _value in reply.headers}
    assert (reply.get("Via") or "").startswith("1.1 pyproxycache-")
    assert "fwd=" in (reply.get("Cache-Status") or "")


def raw_answer(head: str, body: bytes) -> Callable[[Asked], Resource | bytes]:
    text = f"HTTP/1.1 {head}\r\nCache-Control: no-store\r\n\r\n".encode("latin-1")
    return lambda _asked: text + body


ODD_ANSWERS = {
    "length beside chunks": (
        "200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        chunked(b"whole"),
    ),
    "length twice": ("200 OK\r\nContent-Length: 5\r\nContent-Length: 5", b"whole"),
    "length listed": ("200 OK\r\nContent-Length: 5, 5", b"whole"),
    "no reason": ("200\r\nContent-Length: 5", b"whole"),
    "control character in the reason": ("200 O\x01K\r\nContent-Length: 5", b"whole"),
    "interim answer first": (
        "100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5",
        b"whole",
    ),
}


@pytest.mark.parametrize(("head", "body"), ODD_ANSWERS.values(), ids=ODD_ANSWERS.keys())
def test_odd_answers_are_framed_anew(cache: Proxy, origin: Origin, head: str, body: bytes) -> None:
    origin.put("/odd", handler=raw_answer(head, body))
    with Conversation(cache.address) as client:
        reply = client.send(request(f"GET {origin.url('/odd')}")).reply()
        assert (reply.status, reply.body) == (200, b"whole")
        names = [name for name, _value in reply.headers]
        assert names.count("Content-Length") + names.count("Transfer-Encoding") == 1
        # The connection stands where it should: behind the body.
        assert client.send(request(f"GET {origin.url('/')}")).reply().body == b"root"


@pytest.mark.parametrize(
    "head",
    [
        "200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
        "200 OK\r\nContent-Length: -5",
        "200 OK\r\nTransfer-Encoding: gzip",
        "200 OK\r\nno field",
        "200 OK\r\nX: a\x00b",
        "101 Switching Protocols",
        "nonsense",
    ],
)
def test_answers_that_cannot_be_understood(cache: Proxy, origin: Origin, head: str) -> None:
    origin.put("/bad", handler=raw_answer(head, b"whole"))
    assert cache.get(origin.url("/bad")).status == 502


def test_framing_of_every_kind_of_answer_on_one_connection(cache: Proxy, origin: Origin) -> None:
    page, etag = origin.url("/stored"), 'If-None-Match: "v"'
    steps = [
        ("HEAD", origin.url("/page"), [], 200, b""),
        ("GET", origin.url("/empty"), [], 204, b""),
        ("GET", origin.url("/chunked"), [], 200, b"in chunks"),
        ("HEAD", origin.url("/chunked"), [], 200, b""),
        ("GET", origin.url("/endless"), [], 200, b"till the end"),
        ("GET", page, [], 200, LARGE.slice(0, LARGE.size)),
        ("GET", page, ["Range: bytes=1-4"], 206, LARGE.slice(1, 4)),
        ("GET", page, ["Range: bytes=99999999-"], 416, b""),
        ("GET", page, [etag], 304, b""),
        ("HEAD", page, [], 200, b""),
        ("HEAD", page, [etag], 304, b""),
        ("HEAD", "/nowhere", [], 404, b""),
        ("POST", "/api/v1/health/", [], 405, b""),
        ("GET", origin.url("/"), [], 200, b"root"),
    ]
    with Conversation(cache.address) as client:
        for method, target, fields, status, body in steps:
            reply = client.send(request(f"{method} {target}", *fields)).reply(method)
            assert (reply.status, reply.get("Connection")) == (status, "keep-alive"), (method, target)
            if status < 400:
                assert reply.body == body, (method, target)
        head = client.send(request(f"HEAD {page}")).reply("HEAD")
        assert head.get("Content-Length") == str(LARGE.size)


def test_pipelined_requests_are_answered_in_order(cache: Proxy, origin: Origin) -> None:
    posted = request(f"POST {origin.url('/page')}", "Content-Length: 4", body=b"body")
    coded = request(f"POST {origin.url('/page')}", "Transfer-Encoding: chunked", body=chunked(b"body"))
    plain = request(f"GET {origin.url('/')}")
    with Conversation(cache.address) as client:
        client.send(posted + plain + coded + plain + request("GET /nowhere", "Connection: foo, Close"))
        got = [client.reply() for _ in range(5)]
        assert client.rest() == b""
    assert [reply.status for reply in got] == [200, 200, 200, 200, 404]
    assert [reply.body for reply in got[:4]] == [b"a page", b"root", b"a page", b"root"]
    assert got[4].get("Connection") == "close"


def test_unread_body_of_a_refused_request_is_no_next_request(cache: Proxy, origin: Origin) -> None:
    smuggled = request(f"GET {origin.url('/page')}")
    head = request("POST /nowhere", f"Content-Length: {len(smuggled)}")
    with Conversation(cache.address) as client:
        client.send(head + smuggled + request(f"GET {origin.url('/')}"))
        assert [client.reply().status, client.reply().body] == [404, b"root"]
    assert origin.count("/page") == 0


@pytest.mark.parametrize("path", ["/page", "/chunked", "/endless"])
def test_old_client_gets_no_chunks_and_the_end_of_the_connection(
    cache: Proxy, origin: Origin, path: str
) -> None:
    with Conversation(cache.address) as client:
        reply = client.send(request(f"GET {origin.url(path)} HTTP/1.0")).head()
        body = client.rest()
    assert reply.get("Transfer-Encoding") is None
    assert reply.get("Connection") == "close"
    assert body == {"/page": b"a page", "/chunked": b"in chunks", "/endless": b"till the end"}[path]


def test_old_client_may_keep_the_connection(cache: Proxy, origin: Origin) -> None:
    with Conversation(cache.address) as client:
        for _ in range(2):
            client.send(request(f"GET {origin.url('/page')} HTTP/1.0", "Connection: keep-alive"))
            assert client.reply().body == b"a page"


# Ends that are none.


BROKEN = {
    "length, passed": ({"cache_control": "no-store"}, "HTTP/1.1"),
    "chunks, passed": ({"cache_control": "no-store", "chunked": True}, "HTTP/1.1"),
    "chunks for an old client, passed": ({"cache_control": "no-store", "chunked": True}, "HTTP/1.0"),
    "length, stored": ({"cache_control": "max-age=60"}, "HTTP/1.1"),
    "chunks, stored": ({"cache_control": "max-age=60", "chunked": True}, "HTTP/1.1"),
    "chunks for an old client, stored": ({"cache_control": "max-age=60", "chunked": True}, "HTTP/1.0"),
}


@pytest.mark.parametrize(("options", "version"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_body_never_ends_cleanly(
    cache: Proxy, origin: Origin, options: dict[str, object], version: str
) -> None:
    origin.put("/cut", LARGE, break_at=0.9, **options)
    gate = origin.gate("/cut", at=0.5)
    with Conversation(cache.address) as client:
        client.send(request(f"GET {origin.url('/cut')} {version}"))
        assert client.head().status == 200
        gate.open()
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_client_that_leaves_in_the_middle_costs_nothing(cache: Proxy, origin: Origin) -> None:
    for path in ("/large", "/stored"):
        gate = origin.gate(path, at=0.5)
        with cache.download(origin.url(path)) as leaving:
            leaving.take(1000)
        gate.open()
        origin.wait_idle()
        assert cache.get(origin.url("/")).body == b"root"


def test_client_that_leaves_in_the_middle_of_its_body(cache: Proxy, origin: Origin) -> None:
    with Conversation(cache.address) as client:
        client.send(request(f"POST {origin.url('/page')}", "Content-Length: 1000000", body=b"x" * 500_000))
        client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert cache.get(origin.url("/")).body == b"root"


def test_idle_connections_hold_up_neither_requests_nor_the_stop(
    make_proxy: Callable[..., Proxy], origin: Origin
) -> None:
    proxy = make_proxy(threads=2)
    silent = [socket.create_connection(proxy.address) for _ in range(20)]
    with Conversation(proxy.address) as kept:
        assert kept.send(request(f"GET {origin.url('/')}")).reply().body == b"root"
        assert proxy.terminate(timeout=10.0) == 0
    for connection in silent:
        connection.close()
