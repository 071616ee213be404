"""HTTP on the wire: interim answers, expectations, framing, fields of a hop, and what is said of errors."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import http_sf
import pytest
from harness import Proxy, Reply
from origin import Origin
from raw import Conversation, request
from scripted import OK, Scripted

MakeProxy = Callable[..., Proxy]

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"
STORABLE = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nright"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(tmp_path_factory.mktemp("wire"), config={"log": {"level": "debug"}}) as running:
        yield running


def answer_of(cache: Proxy, raw: bytes, *fields: str, line: str = "GET") -> Reply:
    """What a client gets of an origin's answer."""
    with Scripted([raw]) as origin, Conversation(cache.address) as client:
        return client.send(request(f"{line} {origin.url()}", *fields)).reply(line)


# Interim answers.


@pytest.mark.parametrize("final", [OK, STORABLE], ids=["passed", "stored"])
def test_hints_come_while_the_answer_is_still_made(cache: Proxy, final: bytes) -> None:
    seen = threading.Event()

    def hint(connection: socket.socket) -> None:
        connection.sendall(HINTS)
        assert seen.wait(10)
        connection.sendall(final)

    with Scripted([hint]) as origin, Conversation(cache.address) as client:
        client.send(request(f"GET {origin.url()}"))
        interim = client.head()
        seen.set()
        via = ("Via", interim.get("Via"))
        assert (interim.status, interim.headers) == (103, (("Link", "</a>"), via))
        reply = client.reply()
        assert (reply.status, reply.body, reply.get("Link")) == (200, b"right", None)
        if final == STORABLE:
            hit = client.send(request(f"GET {origin.url()}")).reply()
            assert (hit.status, hit.body, hit.get("Link")) == (200, b"right", None)


@pytest.mark.parametrize(
    ("interim", "statuses"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n", []),
        (b"HTTP/1.1 102 Processing\r\n\r\n" + HINTS * 2, [102, 103, 103]),
        (HINTS * 90, [103] * 16),
    ],
    ids=["continue", "several", "flood"],
)
def test_which_are_forwarded(cache: Proxy, interim: bytes, statuses: list[int]) -> None:
    with Scripted([interim + OK]) as origin, Conversation(cache.address) as client:
        client.send(request(f"GET {origin.url()}"))
        assert [client.head().status for _ in statuses] == statuses
        assert client.reply().body == b"right"


def test_an_old_client_gets_none(cache: Proxy) -> None:
    with Scripted([HINTS + OK]) as origin, Conversation(cache.address) as client:
        assert client.send(request(f"GET {origin.url()} HTTP/1.0")).head().status == 200


def test_only_who_leads_gets_them(cache: Proxy) -> None:
    followed = threading.Event()

    def hint(connection: socket.socket) -> None:
        connection.sendall(HINTS)
        assert followed.wait(10)
        connection.sendall(STORABLE)

    with (
        Scripted([hint]) as origin,
        Conversation(cache.address) as leader,
        Conversation(cache.address) as follower,
    ):
        assert leader.send(request(f"GET {origin.url()}")).head().status == 103
        follower.send(request(f"GET {origin.url()}"))
        followed.set()
        assert leader.reply().body == b"right"
        assert follower.reply().body == b"right"
        assert origin.accepted == 1


def test_a_download_that_is_resumed_says_nothing_in_between(cache: Proxy) -> None:
    begun = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n01234'
    rest = b'HTTP/1.1 206 Partial Content\r\nETag: "1"\r\nContent-Range: bytes 5-9/10\r\n'
    rest += b"Content-Length: 5\r\n\r\n56789"
    with Scripted([begun], [HINTS + rest]) as origin, Conversation(cache.address) as client:
        reply = client.send(request(f"GET {origin.url()}")).reply()
        assert (reply.status, reply.body, origin.accepted) == (200, b"0123456789", 2)
        assert client.send(request(f"GET {origin.url()}")).reply().body == b"0123456789"


# Expectations, and bodies that are not read.


EXPECTING = ("Expect: 100-continue", "Content-Length: 4")


def test_who_is_refused_is_not_asked_for_the_body(make_proxy: MakeProxy) -> None:
    proxy = make_proxy(config={"allow": ["192.0.2.0/24"]})
    with Conversation(proxy.address) as client:
        reply = client.send(request("POST http://origin.invalid/", *EXPECTING)).reply()
        assert (reply.status, reply.get("Connection"), client.rest()) == (403, "close", b"")


@pytest.mark.parametrize("line", ["POST /nowhere", "POST http://[/", "CONNECT h:1"])
@pytest.mark.parametrize("framing", ["Content-Length: 4", "Transfer-Encoding: chunked"])
def test_a_refusal_does_not_wait_for_a_body(cache: Proxy, line: str, framing: str) -> None:
    with Conversation(cache.address) as client:
        reply = client.send(request(line, "Expect: 100-continue", framing)).reply()
        assert reply.status in (400, 404)
        # Whether a body comes is not known, so what comes is no next request.
        client.send(request("GET /api/v1/health/"))
        assert (reply.get("Connection"), client.rest()) == ("close", b"")


def test_an_expectation_without_a_body_holds_up_nothing(cache: Proxy) -> None:
    with Conversation(cache.address) as client:
        for _ in range(2):
            reply = client.send(
                request("POST /nowhere", "Expect: 100-continue", "Content-Length: 0")
            ).reply()
            assert (reply.status, reply.get("Connection")) == (404, "keep-alive")


def test_the_origin_has_the_head_before_the_body_is_asked_for(cache: Proxy) -> None:
    with Scripted([lambda connection: connection.sendall(b"")]) as origin:
        with Conversation(cache.address) as client:
            client.send(request(f"POST {origin.url()}", *EXPECTING))
            assert client.head().status == 100
            client.send(b"body")
            assert client.reply().status == 502
        assert b"expect" not in origin.heads[0].lower()


@pytest.mark.parametrize(("length", "kept"), [(1000, "keep-alive"), (1 << 20, "close")])
def test_a_large_body_that_is_not_read_is_the_end(cache: Proxy, length: int, kept: str) -> None:
    with Conversation(cache.address) as client:
        reply = client.send(request("POST /nowhere", f"Content-Length: {length}")).reply()
        assert (reply.status, reply.get("Connection")) == (404, kept)
        if kept == "keep-alive":
            client.send(b"x" * length + request("GET /api/v1/health/"))
            assert client.reply().body == b"ok"


# Framing of answers.


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ("Transfer-Encoding: identity", b"whole"),
        ("Transfer-Encoding: identity\r\nContent-Length: 5", b"whole"),
        ("Transfer-Encoding: x-own", b"whole"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 2", b"5\r\nwhole\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nTrailer: X-Sum", b"5\r\nwhole\r\n0\r\nX-Sum: 1\r\n\r\n"),
        ("Connection: close", b"whole"),
    ],
)
@pytest.mark.parametrize("store", ["no-store", "max-age=60"])
def test_an_answer_is_framed_anew(cache: Proxy, fields: str, body: bytes, store: str) -> None:
    raw = f"HTTP/1.1 200 OK\r\nCache-Control: {store}\r\n{fields}\r\n\r\n".encode() + body
    with Scripted([raw]) as origin, Conversation(cache.address) as client:
        for _ in range(2 if store == "max-age=60" else 1):
            reply = client.send(request(f"GET {origin.url()}")).reply()
            assert (reply.status, reply.body) == (200, b"whole")
            framing = [reply.get("Content-Length"), reply.get("Transfer-Encoding")]
            assert framing in (["5", None], [None, "chunked"])
            assert (reply.get("Trailer"), reply.get("X-Sum"), reply.get("Connection")) == (
                None,
                None,
                "keep-alive",
            )
        assert client.send(request("GET /api/v1/health/")).reply().body == b"ok"


@pytest.mark.parametrize("codings", ["gzip", "gzip, chunked", "chunked, chunked", "x-own, chunked"])
def test_a_coding_that_nobody_asked_for_is_refused(cache: Proxy, codings: str) -> None:
    raw = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {codings}\r\n\r\n".encode() + b"5\r\nwhole\r\n0\r\n\r\n"
    reply = answer_of(cache, raw)
    assert reply.status == 502
    assert "error=http_response_transfer_coding" in (reply.get("Proxy-Status") or "")


@pytest.mark.parametrize(
    ("line", "head", "length"),
    [
        ("HEAD", "200 OK\r\nContent-Length: 400", "400"),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", None),
        ("GET", "304 Not Modified\r\nContent-Length: 400", "400"),
        ("GET", "204 No Content\r\nContent-Length: 400", None),
        ("GET", "204 No Content\r\nTransfer-Encoding: chunked", None),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_answer_without_a_body_has_none(
    cache: Proxy, line: str, head: str, length: str | None, version: str
) -> None:
    with Scripted([f"HTTP/1.1 {head}\r\n\r\n".encode()]) as origin, Conversation(cache.address) as client:
        fields = ["Connection: keep-alive", "If-None-Match: x", "Cache-Control: no-store"]
        client.send(request(f"{line} {origin.url()} HTTP/{version}", *fields))
        reply = client.reply(line)
        assert (reply.get("Content-Length"), reply.get("Transfer-Encoding")) == (length, None)
        assert client.send(request("GET /api/v1/health/")).reply().body == b"ok"


# Fields of one hop, and of all.


HOP = [
    "Connection: X-Hop, close, X-Other",
    "X-Hop: 1",
    "x-other: 1",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Proxy-Authenticate: Basic",
    "Proxy-Authentication-Info: a=b",
    "Proxy-Authorization: Basic x",
    "TE: trailers, gzip",
    "Trailer: X-Sum",
    "Upgrade: h2c",
]
NAMES = {field.partition(":")[0].lower() for field in HOP}


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_request_loses_the_fields_of_its_hop(cache: Proxy, version: str) -> None:
    with Scripted([OK]) as origin, Conversation(cache.address) as client:
        fields = ["TE: trailers", "X-End: 1", "Max-Forwards: 1", *HOP]
        assert client.send(request(f"GET {origin.url()} HTTP/{version}", *fields)).reply().status == 200
    lines = origin.heads[0].decode().lower().split("\r\n")
    assert not NAMES & {line.partition(":")[0] for line in lines}
    assert {"x-end: 1", "max-forwards: 1"} <= set(lines)
    assert any(line.startswith(f"via: {version} pyproxycache-") for line in lines)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("control", ["max-age=60", "no-store"])
def test_via_names_the_version_in_which_an_answer_came(cache: Proxy, version: str, control: str) -> None:
    raw = f'HTTP/{version} 200 OK\r\nContent-Length: 4\r\nETag: "a"\r\nVia: 1.1 before\r\n'
    raw += f"Cache-Control: {control}\r\nConnection: close\r\n\r\nbody"
    with Scripted(*[[raw.encode()]] * 4) as origin:
        asked = [(), (), (("If-None-Match", '"a"'),), (("Range", "bytes=1-2"),)]
        replies = [cache.get(str(origin.url()), fields) for fields in asked]
    if control == "max-age=60":
        assert [reply.status for reply in replies] == [200, 200, 304, 206]
    for reply in replies:
        before, _comma, ours = (reply.get("Via") or "").partition(", ")
        assert (before, ours.partition("-")[0]) == ("1.1 before", f"{version} pyproxycache")


def test_trailers_of_a_request_are_dropped(cache: Proxy) -> None:
    received = b""

    def read(connection: socket.socket) -> None:
        nonlocal received
        while not received.endswith(b"0\r\n\r\n"):
            received += connection.recv(1)
        connection.sendall(OK)

    with Scripted([read]) as origin, Conversation(cache.address) as client:
        client.send(request(f"POST {origin.url()}", "Transfer-Encoding: chunked", "Trailer: X-Sum"))
        assert client.send(b"4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n").reply().body == b"right"
    assert received == b"4\r\nbody\r\n0\r\n\r\n"
    assert b"trailer" not in origin.heads[0].lower()


@pytest.mark.parametrize("store", ["no-store", "max-age=60"])
def test_an_answer_loses_the_fields_of_its_hop(cache: Proxy, store: str) -> None:
    hop = "\r\n".join([f"Cache-Control: {store}, X-End=1", "X-End: 1", *HOP])
    raw = f"HTTP/1.1 200 OK\r\n{hop}\r\nContent-Length: 5\r\n\r\nright".encode()
    with Scripted([raw]) as origin, Conversation(cache.address) as client:
        for _ in range(2 if store == "max-age=60" else 1):
            reply = client.send(request(f"GET {origin.url()}")).reply()
            assert (reply.body, reply.get("X-End"), reply.get("Connection")) == (
                b"right",
                "1",
                "keep-alive",
            )
            assert not (NAMES - {"connection"}) & {name.lower() for name, _value in reply.headers}


@pytest.mark.parametrize("store", ["no-store", "max-age=60"])
def test_an_answer_is_dated(cache: Proxy, store: str) -> None:
    raw = f"HTTP/1.1 200 OK\r\nCache-Control: {store}\r\nContent-Length: 5\r\n\r\nright".encode()
    reply = answer_of(cache, raw)
    assert [name for name, _value in reply.headers].count("Date") == 1
    assert (reply.get("Date") or "").endswith(" GMT")


def test_how_far_a_request_goes(cache: Proxy) -> None:
    with Scripted([OK]) as origin, Conversation(cache.address) as client:
        client.send(request(f"OPTIONS {origin.url()}", "Max-Forwards: 1"))
        assert client.reply().body == b"right"
        reply = client.send(request(f"OPTIONS {origin.url()}", "Max-Forwards: 0")).reply()
        assert (reply.status, reply.body) == (200, b"")
        client.send(request(f"TRACE {origin.url()}", "Max-Forwards: 0", "Cookie: s3cret", "X: y"))
        reply = client.reply()
        assert (reply.get("Content-Type"), b"X: y\r\n" in reply.body) == ("message/http", True)
        assert b"s3cret" not in reply.body
    assert len(origin.heads) == 1
    assert b"\r\nMax-Forwards: 0\r\n" in origin.heads[0]


def test_options_for_the_server_as_a_whole(cache: Proxy, make_proxy: MakeProxy) -> None:
    with Scripted([OK], [OK]) as origin:
        whole = str(origin.url()).removesuffix(origin.url().target)
        assert cache.get(whole, method="OPTIONS").body == b"right"
        chained = make_proxy(config={"parent": f"http://{cache.netloc}"})
        assert chained.get(whole, method="OPTIONS").body == b"right"
    assert [head.split(b"\r\n")[0] for head in origin.heads] == [b"OPTIONS * HTTP/1.1"] * 2


# What is said of an answer.


def members(reply: Reply, name: str) -> list[tuple[str, dict[str, object]]]:
    """The field's members: the name of each, and its parameters as text, numbers and truths."""
    parsed = http_sf.parse((reply.get(name) or "").encode("ascii"), tltype="list")
    return [
        (str(one), {k: str(v) if isinstance(v, http_sf.Token) else v for k, v in said.items()})
        for one, said in parsed
    ]


def test_what_other_caches_said_stays_before_ours(cache: Proxy) -> None:
    raw = b'HTTP/1.1 200 OK\r\nCache-Status: other; hit, "more"; fwd=miss\r\nProxy-Status: other\r\n'
    reply = answer_of(cache, raw + b"Cache-Status: third\r\nContent-Length: 0\r\n\r\n")
    said = members(reply, "Cache-Status")
    assert said[:3] == [("other", {"hit": True}), ("more", {"fwd": "miss"}), ("third", {})]
    assert (said[3][0].startswith("pyproxycache-"), said[3][1]["fwd"]) == (True, "uri-miss")
    assert reply.get("Proxy-Status") == "other"


def test_the_key_is_told_unless_switched_off(make_proxy: MakeProxy, cache: Proxy, origin: Origin) -> None:
    url = origin.url('/a"b?c=\\')
    switched_off = make_proxy(config={"cache_status": {"key": False}})
    reverse = make_proxy(arguments=["--upstream", origin.url()])
    telling = make_proxy(arguments=["--upstream", origin.url()], config={"cache_status": {"key": True}})
    for proxy, target, told in (
        (cache, url, url),
        (switched_off, url, None),
        (reverse, "/a", None),
        (telling, "/a", origin.url("/a")),
    ):
        ((_name, said),) = members(proxy.get(target), "Cache-Status")
        assert (said.get("key"), said["fwd"]) == (told, "uri-miss")


@pytest.mark.parametrize(
    ("line", "status"), [("GET /api/v1/health/", 200), ("GET /nowhere", 404), ("POST /api/v1/health/", 405)]
)
def test_the_caches_own_pages_are_of_no_proxy(cache: Proxy, line: str, status: int) -> None:
    with Conversation(cache.address) as client:
        reply = client.send(request(line)).reply()
    assert (reply.status, reply.get("Cache-Status"), reply.get("Proxy-Status")) == (status, None, None)


ERRORS = {
    "nonsense": (b"nonsense\r\n", 502, "http_protocol_error"),
    "closes": (b"", 502, "connection_terminated"),
    "coded": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", 502, "http_response_transfer_coding"),
}


@pytest.mark.parametrize(("raw", "status", "error"), ERRORS.values(), ids=ERRORS)
def test_whose_error_it_is(cache: Proxy, raw: bytes, status: int, error: str) -> None:
    reply = answer_of(cache, raw)
    ((name, said),) = members(reply, "Proxy-Status")
    assert (reply.status, name.startswith("pyproxycache-"), said["error"]) == (status, True, error)
    assert "127.0.0.1" in str(said["details"])
    assert members(reply, "Cache-Status")[0][1]["fwd"] == "uri-miss"


def test_errors_before_an_origin_is_asked(cache: Proxy, make_proxy: MakeProxy) -> None:
    strict = make_proxy(config={"allow": ["192.0.2.0/24"]})
    for proxy, line, status, error in (
        (cache, "GET http://[/", 400, "http_request_error"),
        (cache, "GET http://no-such-host.invalid/", 502, "dns_error"),
        (cache, "GET http://127.0.0.1:1/", 502, "connection_refused"),
        (cache, f"GET http://{cache.netloc}/", 508, "proxy_loop_detected"),
        (cache, "CONNECT h:25", 403, "http_request_denied"),
        (cache, "CONNECT h:0", 400, "http_request_error"),
        (cache, "CONNECT no-such-host.invalid:443", 502, "dns_error"),
        (strict, "GET http://127.0.0.1:1/", 403, "http_request_denied"),
    ):
        with Conversation(proxy.address) as client:
            reply = client.send(request(line)).reply()
        assert (reply.status, members(reply, "Proxy-Status")[0][1]["error"]) == (status, error)


def test_an_origins_own_error_is_not_ours(cache: Proxy) -> None:
    reply = answer_of(cache, b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
    assert (reply.status, reply.get("Proxy-Status")) == (502, None)


def test_a_secret_in_a_query_is_not_told(cache: Proxy) -> None:
    with Conversation(cache.address) as client:
        via = f"Via: 1.1 {cache.get('/nowhere').get('Via').split()[1]}"  # type: ignore[union-attr]
        reply = client.send(request("GET http://h.invalid/?token=s3cret", via)).reply()
    assert reply.status == 508
    assert "s3cret" not in (reply.get("Proxy-Status") or "s3cret")
