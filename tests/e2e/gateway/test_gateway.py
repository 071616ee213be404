"""Routes in front of an API: what is asked of it, what is shared, and what is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from harness import Proxy, Reply
from origin import Asked, Origin, Resource
from raw import Conversation
from waiting import until

MakeProxy = Callable[..., Proxy]
API = "/api/v1/"


@pytest.fixture
def gateway(make_proxy: MakeProxy, origin: Origin) -> Callable[..., Proxy]:
    """Makes a gateway with one route to the origin, of these options."""

    def make(workers: int = 1, **options: Any) -> Proxy:
        return make_proxy(
            config={"routes": {API: {"upstream": origin.url("/"), **options}}}, workers=workers
        )

    return make


CACHED = {"ttl": "1h"}
BY_BODY = {"ttl": "1h", "key": {"body": True}}


def test_the_path_goes_on_and_the_answer_is_kept(gateway: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/api/v1/x", b"answer", cache_control="no-cache", headers=[("Set-Cookie", "a=b")])
    cache = gateway(cache=CACHED)
    first, second = cache.get("/api/v1/x"), cache.get("/api/v1/x", [("Cache-Control", "no-cache")])
    assert (first.status, first.body, first.get("Set-Cookie")) == (200, b"answer", "a=b")
    assert (second.status, second.body, second.get("Set-Cookie")) == (200, b"answer", None)
    assert origin.count("/api/v1/x") == 1
    assert cache.get("/elsewhere").status == 404


@pytest.mark.parametrize(
    "target", ["/http://127.0.0.1:1/", "/api/v1/../x", "/api/v1/%2e%2e/x", "/api/v2/x", "/", "*"]
)
def test_a_gateway_is_no_proxy(gateway: Callable[..., Proxy], origin: Origin, target: str) -> None:
    cache = gateway(cache=CACHED)
    with Conversation(cache.address) as client:
        reply = client.send(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode()).reply()
    assert reply.status in (400, 404)
    with Conversation(cache.address) as client:
        asked = f"CONNECT {origin.host}:{origin.port} HTTP/1.1\r\nHost: h\r\n\r\n"
        assert client.send(asked.encode()).reply("CONNECT").status == 501
    assert origin.requests == []


def test_a_whole_url_names_the_path_alone(gateway: Callable[..., Proxy], origin: Origin) -> None:
    """A gateway is an origin server to its clients, which has to take that form, too."""
    origin.put("/api/v1/x", b"answer")
    cache = gateway(cache=CACHED)
    with Conversation(cache.address) as client:
        asked = b"GET http://anywhere.test/api/v1/x HTTP/1.1\r\nHost: anywhere.test\r\n\r\n"
        assert client.send(asked).reply().body == b"answer"


@pytest.mark.parametrize("path", [{}, {"strip": "/api", "add": "/api"}])
@pytest.mark.parametrize("query", ["", "?", "?a", "?a=&b", "??", "?%20+"])
def test_the_query_goes_on_as_it_is(
    gateway: Callable[..., Proxy], origin: Origin, query: str, path: dict[str, str]
) -> None:
    origin.put(f"/api/v1/x{query}", b"answer")
    assert gateway(path=path).get(f"/api/v1/x{query}").body == b"answer"
    assert [asked.target for asked in origin.requests] == [f"/api/v1/x{query}"]


@pytest.mark.parametrize("kept", [{"ttl": "1h"}, {}], ids=["ttl", "by HTTP"])
def test_nobody_gets_a_coding_that_only_others_take(
    gateway: Callable[..., Proxy], origin: Origin, kept: dict[str, str]
) -> None:
    """Upstreams that were made for no cache seldom say in Vary that they look at Accept-Encoding."""
    coded = gzip.compress(b"answer")

    def answer(asked: Asked) -> Resource:
        fields = [("Cache-Control", "max-age=3600")]
        if "gzip" not in (asked.get("Accept-Encoding") or ""):
            return Resource(b"answer", headers=fields)
        return Resource(coded, headers=[*fields, ("Content-Encoding", "gzip")])

    origin.put("/api/v1/x", handler=answer)
    cache, gate = gateway(cache=kept), origin.gate("/api/v1/x")
    sent = [[("Accept-Encoding", one)] if one else [] for one in ("gzip", "", "br", "gzip")]
    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(cache.get, "/api/v1/x", sent[0])]
        gate.wait_reached()
        asking += [clients.submit(cache.get, "/api/v1/x", fields) for fields in sent[1:]]
        gate.open()
        replies = [one.result() for one in asking]
    replies += [cache.get("/api/v1/x", fields) for fields in sent]
    # Who takes gzip may get what is not coded, too.
    took = [reply.body for reply, fields in zip(replies, sent * 2, strict=True) if fields != sent[0]]
    assert took == [b"answer"] * 4
    assert {reply.body for reply in replies} == {coded, b"answer"}


@pytest.mark.parametrize(
    ("whole", "said", "who"),
    [("http://a.test", "b.test", b"a"), ("http://B.test:80", "a.test", b"b"), ("", "a.test", b"a")],
)
def test_a_whole_url_says_for_which_host_it_is(
    make_proxy: MakeProxy, origin: Origin, whole: str, said: str, who: bytes
) -> None:
    origin.put("/v/x", handler=lambda asked: Resource((asked.get("X-Who") or "").encode()))
    route = {"upstream": origin.url("/"), "exclude": True}
    hosts = {
        f"{name}.test": {"routes": {"/v/": {**route, "headers": {"request": {"set": {"x-who": name}}}}}}
        for name in "ab"
    }
    with Conversation(make_proxy(config={"hosts": hosts}).address) as client:
        asked = f"GET {whole}/v/x HTTP/1.1\r\nHost: {said}\r\n\r\n"
        assert client.send(asked.encode()).reply().body == who
    assert origin.requests[0].get("X-Forwarded-Host") == (f"{who.decode()}.test")


def test_each_client_has_an_event_stream_of_its_own(gateway: Callable[..., Proxy], origin: Origin) -> None:
    count = iter(range(10))
    kind = [("Content-Type", "text/event-stream; charset=utf-8")]
    origin.put("/api/v1/x", handler=lambda _: Resource(b"data: %d\n\n" % next(count), headers=kind))
    cache = gateway(cache=CACHED)
    assert [cache.get("/api/v1/x").body for _ in range(2)] == [b"data: 0\n\n", b"data: 1\n\n"]
    gate = origin.gate("/api/v1/x")
    with ThreadPoolExecutor(3) as clients:
        asking = [clients.submit(cache.get, "/api/v1/x") for _ in range(3)]
        gate.wait_reached()
        gate.open()
        assert len({one.result().body for one in asking}) == 3


@pytest.mark.parametrize(
    ("upstream", "status", "said"),
    [
        ("http://127.0.0.1:1", 502, "the upstream cannot be reached"),
        ("http://inside.invalid", 502, "the upstream cannot be reached"),
        ("http://127.0.0.1:{port}/slow", 504, "the upstream did not answer in time"),
        ("https://127.0.0.1:{port}", 502, "the upstream cannot be reached"),
    ],
)
def test_clients_are_not_told_what_is_behind_the_gateway(
    make_proxy: MakeProxy, origin: Origin, upstream: str, status: int, said: str
) -> None:
    origin.put("/slow/a/x", b"late", head_delay=5)
    url = upstream.format(port=urlsplit(origin.url("/")).port)
    hidden = make_proxy(config={"routes": {"/a/": {"upstream": url, "timeout": "1s"}}}, workers=1)
    reply = hidden.get("/a/x")
    assert (reply.status, reply.body.decode()) == (status, f"{said}\n")
    place = urlsplit(url).hostname or ""
    assert place not in str(reply.headers)
    until(lambda: place in hidden.log().partition("a client is answered with")[2])


def test_methods_are_those_of_the_route(gateway: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/api/v1/x", b"answer")
    refused = gateway(methods=["GET", "HEAD"]).get("/api/v1/x", method="DELETE")
    assert (refused.status, refused.get("Allow")) == (405, "GET, HEAD")
    assert origin.requests == []


@pytest.mark.parametrize("field", ["Authorization", "Cookie"])
def test_nobody_gets_what_another_ones_credentials_brought(
    gateway: Callable[..., Proxy], origin: Origin, field: str
) -> None:
    origin.put("/api/v1/x", b"answer")
    cache = gateway(cache=CACHED)
    for value in ("one", "two", "one", "two"):
        assert cache.get("/api/v1/x", [(field, value)]).body == b"answer"
    assert cache.get("/api/v1/x").status == 200
    assert [asked.get(field) for asked in origin.asked("/api/v1/x")] == ["one", "two", None]


def test_errors_have_a_lifetime_of_their_own(gateway: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/api/v1/x", b"broken", status=500)
    origin.put("/api/v1/y", b"none", status=404)
    kept, unkept = gateway(cache={**CACHED, "ttl_error": "1h"}), gateway(cache=CACHED)
    for path, status in (("/api/v1/x", 500), ("/api/v1/y", 404)):
        for _ in range(3):
            assert kept.get(path).status == status
        assert origin.count(path) == 1
        for _ in range(3):
            assert unkept.get(path).status == status
        assert origin.count(path) == 4


@pytest.mark.parametrize(
    ("said", "respect", "asked"),
    [
        ("no-store", [], 1),
        ("no-store", ["no-store"], 2),
        ("max-age=5, private", ["no-store"], 1),
        ('max-age=5, Private="x"', ["private"], 2),
        ("no-cache", ["no-cache"], 2),
    ],
)
def test_directives_count_as_the_route_says(
    gateway: Callable[..., Proxy], origin: Origin, said: str, respect: list[str], asked: int
) -> None:
    origin.put("/api/v1/x", b"answer", cache_control=said)
    cache = gateway(cache={**CACHED, "respect": respect})
    for _ in range(2):
        assert cache.get("/api/v1/x").body == b"answer"
    assert origin.count("/api/v1/x") == asked


def post(cache: Proxy, body: bytes, *fields: tuple[str, str], path: str = "/api/v1/x") -> Reply:
    return cache.get(path, [("Content-Type", "application/json"), *fields], method="POST", body=body)


def test_posts_are_cached_by_their_content(gateway: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/api/v1/x", b"answer")
    cache = gateway(cache=BY_BODY)
    for body in (b"{1}", b"{2}", b"{1}", b"{2}"):
        assert post(cache, body).body == b"answer"
    assert cache.get("/api/v1/x").status == 200
    assert [asked.method for asked in origin.asked("/api/v1/x")] == ["POST", "POST", "GET"]
    plain = gateway(cache=CACHED)
    for _ in range(2):
        assert post(plain, b"{1}").body == b"answer"
    assert origin.count("/api/v1/x") == 5


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_identical_requests_at_once_are_one(
    gateway: Callable[..., Proxy], origin: Origin, method: str, workers: int
) -> None:
    origin.put("/api/v1/x", b"answer")
    gate = origin.gate("/api/v1/x")
    cache = gateway(workers=workers, cache=BY_BODY)
    with ThreadPoolExecutor(100) as clients:
        asking = [
            clients.submit(cache.get, "/api/v1/x", method=method, body=b"{}" if method == "POST" else b"")
            for _ in range(100)
        ]
        gate.wait_reached()
        gate.open()
        assert {reply.result().body for reply in asking} == {b"answer"}
    assert origin.count("/api/v1/x") == 1


def test_content_that_is_too_long_decides_nothing(gateway: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/api/v1/x", b"answer")
    cache = gateway(cache=BY_BODY)
    for _ in range(2):
        assert post(cache, bytes(2 << 20)).body == b"answer"
    assert origin.count("/api/v1/x") == 2


def test_nested_routes_and_hosts(make_proxy: MakeProxy, origin: Origin) -> None:
    routes = {
        API: {
            "upstream": origin.url("/"),
            "cache": CACHED,
            "routes": {"login": {"exclude": True}, "users/": {"methods": ["GET"]}},
        }
    }
    hosts = {"api.test": {"routes": {"/": {"upstream": origin.url("/other")}}}}
    cache = make_proxy(config={"routes": routes, "hosts": hosts})
    origin.put("/api/v1/login", b"token", cache_control="max-age=100")
    origin.put("/api/v1/users/7", b"user")
    origin.put("/other/x", b"other")
    for _ in range(2):
        assert cache.get("/api/v1/login").body == b"token"
        assert cache.get("/api/v1/users/7").body == b"user"
        assert cache.get("/x", [("Host", "API.test:80")]).body == b"other"
    assert post(cache, b"", path="/api/v1/users/7").status == 405
    assert (origin.count("/api/v1/login"), origin.count("/api/v1/users/7")) == (2, 1)
    assert cache.get("/x").status == 404


def test_purge_by_the_route(gateway: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/api/v1/x", b"answer")
    cache = gateway(cache=BY_BODY)
    for _ in range(2):
        assert post(cache, b"{}").status == cache.get("/api/v1/x").status == 200
    assert cache.get("/api/v1/x", method="PURGE").status == 200
    assert cache.get("/api/v1/x", method="PURGE").status == 404
    assert post(cache, b"{}").status == cache.get("/api/v1/x").status == 200
    assert origin.count("/api/v1/x") == 4


def test_references_lead_back_to_the_gateway(make_proxy: MakeProxy, origin: Origin) -> None:
    origin.put("/base/api/v1/x", b"", status=302, headers=[("Location", origin.url("/base/api/v1/y"))])
    cache = make_proxy(config={"routes": {API: {"upstream": origin.url("/base")}}})
    assert cache.get("/api/v1/x").get("Location") == "/api/v1/y"
