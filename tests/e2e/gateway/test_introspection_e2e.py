"""Introspection in front of an API, by the real server: hits included, whatever the endpoint does."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import Proxy, Reply
from introspection_server import PATH, IntrospectionServer
from jwt_made import CLAIMS, key, key_set, public, token
from origin import Asked, Origin, Resource
from raw import Conversation, request

from pyproxycache import clock

API = "/api/v1/"
ITEM = "/api/v1/item"
CACHED = {"ttl": "1h", "ttl_error": "1h"}


@pytest.fixture
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as server:
        yield server


@pytest.fixture
def gateway(
    make_proxy: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> Callable[..., Proxy]:
    """Makes a gateway whose route takes tokens that the endpoint says are valid."""

    def make(introspect: dict[str, Any] | None = None, workers: int = 2, **options: Any) -> Proxy:
        given = {"endpoint": {"url": server.url, "timeout": "10s"}, **(introspect or {})}
        route = {"upstream": origin.url("/"), "cache": CACHED, "introspect": given, **options}
        return make_proxy(config={"routes": {API: route}}, workers=workers)

    return make


def ask(cache: Proxy, bearer: str | None, path: str = ITEM, *fields: tuple[str, str], **more: Any) -> Reply:
    sent = [] if bearer is None else [("Authorization", f"Bearer {bearer}")]
    return cache.get(path, [*sent, *fields], **more)


SHARED: dict[str, Any] = {"cache": {**CACHED, "key": {"headers": []}}}


def test_a_revoked_token_gets_nothing_though_the_answer_is_stored(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> None:
    origin.put(ITEM, b"answer")
    cache = gateway(**SHARED)
    server.issue("one")
    server.issue("two")
    for bearer in ("one", "two", "one"):
        assert ask(cache, bearer).body == b"answer"
    server.revoke("one")
    refused = ask(cache, "one")
    assert refused.status == 401
    assert refused.get("WWW-Authenticate") == (
        'Bearer realm="api", error="invalid_token", '
        'error_description="the token is not valid, or not any more"'
    )
    assert ask(cache, "two").body == b"answer"
    assert origin.count(ITEM) == 1
    assert server.asked_for == ["one", "two", "one", "one", "two"]


def test_without_a_token_nothing_is_asked(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> None:
    origin.put(ITEM, b"answer")
    cache = gateway({"realm": "files", "scope": ["read"]})
    refused = ask(cache, None)
    assert (refused.status, refused.get("WWW-Authenticate")) == (401, 'Bearer realm="files", scope="read"')
    server.issue("t", scope="write")
    assert ask(cache, "t").status == 403
    assert (
        ask(cache, None, ITEM, ("Authorization", "Bearer a"), ("Authorization", "Bearer b")).status == 400
    )
    assert server.asked_for == ["t"]
    assert origin.requests == []


def by_body(asked: Asked) -> Resource:
    """Answers with who asks, as the gateway says."""
    told = asked.get("X-Token")
    return Resource(b"" if told is None else json.dumps(json.loads(b64decode(told))).encode())


def test_tokens_with_different_bodies_never_share_an_answer(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> None:
    origin.put(ITEM, handler=by_body)
    cache = gateway({"pass_on": {"header": "X-Token", "without": ["active", "exp"]}})
    for user in ("ann", "bob"):
        for number in (1, 2):
            server.issue(f"{user}{number}", sub=user, exp=2_000_000_000 + number)
    for bearer in ("ann1", "bob1", "bob2", "ann2", "ann1"):
        assert json.loads(ask(cache, bearer).body) == {"sub": bearer[:3]}
    # Tokens whose bodies are equal share one answer.
    assert origin.count(ITEM) == 2


@pytest.mark.parametrize("cache", [CACHED, {}], ids=["ttl", "by HTTP"])
def test_nobody_gets_what_another_token_has_brought_under_a_new_name(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer, cache: dict[str, str]
) -> None:
    origin.put(
        ITEM, handler=lambda one: Resource((one.get("X-New") or "").encode(), cache_control="max-age=9")
    )
    rename = {"request": {"rename": {"x-old": "x-new"}}}
    running = gateway({"token": [{"header": "x-old"}]}, workers=1, cache=cache, headers=rename)
    for sent in ("one", "two", "one"):
        server.issue(sent)
        assert ask(running, None, ITEM, ("X-Old", sent)).body == sent.encode()
    assert origin.count(ITEM) == 2


@pytest.mark.parametrize("cache", [CACHED, {}], ids=["ttl", "by HTTP"])
@pytest.mark.parametrize(
    "field", ["X-Api-Key: %s", "Cookie: other=1; session=%s", "Authorization: Bearer %s"]
)
def test_nobody_gets_what_another_token_has_brought_wherever_it_is(
    gateway: Callable[..., Proxy],
    origin: Origin,
    server: IntrospectionServer,
    field: str,
    cache: dict[str, str],
) -> None:
    name, _colon, value = field.partition(": ")
    origin.put(
        ITEM, handler=lambda one: Resource((one.get(name) or "").encode(), cache_control="max-age=3600")
    )
    places = ["bearer", {"header": "x-api-key"}, {"cookie": "session"}]
    running = gateway({"token": places, "remember": "1h"}, workers=1, cache=cache)
    for sent in ("one", "two"):
        server.issue(sent, sub="same")
    for sent in ("one", "two", "one", "one", "two", "two", "two"):
        assert ask(running, None, ITEM, (name, value % sent)).body == (value % sent).encode()
    assert ask(running, None, ITEM, (name, value % "three")).status == 401
    # By HTTP, who sends Authorization shares what the upstream says is for all, and this is not.
    assert origin.count(ITEM) == (7 if not cache and name == "Authorization" else 2)


@pytest.mark.parametrize("remember", ["0s", "1h"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_at_once_by_many_tokens_with_one_body_are_one(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer, method: str, remember: str
) -> None:
    origin.put(ITEM, handler=by_body)
    gate = origin.gate(ITEM)
    introspect = {"pass_on": {"header": "X-Token", "without": ["active"]}, "remember": remember}
    cache = gateway(introspect, workers=4, cache={**CACHED, "key": {"body": True}})
    tokens = [server.issue(f"t{number}", sub="ann") for number in range(20)] * 5
    content = b"" if method == "GET" else b"{}"
    with ThreadPoolExecutor(100) as clients:
        asking = [clients.submit(ask, cache, bearer, method=method, body=content) for bearer in tokens]
        gate.wait_reached()
        gate.open()
        assert {reply.result().body for reply in asking} == {b'{"sub": "ann"}'}
    assert origin.count(ITEM) == 1


@pytest.mark.parametrize("name", ["X-Token", "x_token", "X-TOKEN", "X.Token", "x!token"])
def test_no_client_says_itself_who_it_is(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer, name: str
) -> None:
    origin.put(ITEM, handler=by_body)
    open_to_all = {"open/": {"introspect": None}}
    cache = gateway({"pass_on": {"header": "X-Token"}}, routes=open_to_all)
    server.issue("t", sub="me")
    assert json.loads(ask(cache, "t", ITEM, (name, "forged")).body) == {"active": True, "sub": "me"}
    origin.put("/api/v1/open/x", b"open")
    assert ask(cache, None, "/api/v1/open/x", (name, "forged")).body == b"open"
    (asked,) = origin.asked("/api/v1/open/x")
    named = [re.sub("[^a-z]", "-", field.lower()) for field, _value in asked.headers]
    assert "x-token" not in named


def test_no_client_takes_away_who_it_is(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> None:
    """By Connection a client names what is for the gateway alone, and not what the gateway adds."""
    origin.put(ITEM, handler=by_body)
    cache = gateway({"pass_on": {"header": "X-Token"}})
    server.issue("t", sub="me")
    for named in ("X-Token", "close, x-token", "Authorization, X-Token"):
        reply = ask(cache, "t", ITEM, ("Connection", named))
        if "Authorization" in named:
            assert reply.status == 401
        else:
            assert json.loads(reply.body) == {"active": True, "sub": "me"}


@pytest.mark.parametrize("way", ["cookie", "query"])
def test_the_upstream_and_the_store_need_not_have_the_token(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer, way: str
) -> None:
    origin.put(ITEM, b"answer")
    cache = gateway({"token": [{"cookie": "session"}, {"query": "t"}], "forward_token": False}, **SHARED)
    for bearer in ("one", "two"):
        server.issue(bearer)
        if way == "cookie":
            reply = ask(cache, None, ITEM, ("Cookie", f"a=1; session={bearer}"))
        else:
            reply = ask(cache, None, f"{ITEM}?t={bearer}", ("Cookie", "a=1"))
        assert reply.body == b"answer"
    (asked,) = origin.asked(ITEM)
    assert (asked.target, asked.get("Cookie")) == (ITEM, "a=1")


def test_an_endpoint_that_is_down_lets_nobody_through(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> None:
    origin.put(ITEM, b"answer")
    cache = gateway(**SHARED)
    server.issue("t")
    assert ask(cache, "t").status == 200
    server.origin.stop()
    for bearer in ("t", "other"):
        assert ask(cache, bearer).status == 503
    server.origin.start()
    assert ask(cache, "t").body == b"answer"


LIES: dict[str, Resource | bytes] = {
    "text": Resource(b"yes"),
    "wrong type": Resource(b'{"active": "true"}'),
    "error": Resource(b'{"active": true}', status=500),
    "redirect": Resource(b'{"active": true}', status=302, headers=[("Location", PATH)]),
    "huge": Resource(b'{"active": true, "x": "' + b"x" * (1 << 20) + b'"}'),
    "no HTTP": b"nonsense\r\n\r\n",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_endpoint_that_lies_lets_nobody_through(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer, lie: Resource | bytes
) -> None:
    origin.put(ITEM, b"answer")
    cache = gateway(**SHARED)
    server.issue("t")
    assert ask(cache, "t").status == 200
    server.lie = lie
    assert ask(cache, "t").status == 503


def test_an_endpoint_that_is_slow_lets_nobody_through_and_holds_nobody_else(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> None:
    origin.put(ITEM, b"answer")
    endpoint = {"url": server.url, "timeout": "1s"}
    cache = gateway({"endpoint": endpoint}, routes={"open/": {"introspect": None}}, **SHARED)
    origin.put("/api/v1/open/x", b"open")
    server.issue("t")
    gate = server.origin.gate(PATH)
    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(ask, cache, f"t{number}") for number in range(50)]
        gate.wait_reached()
        assert ask(cache, None, "/api/v1/open/x").body == b"open"
        assert [one.result().status for one in waiting] == [503] * 50
    gate.open()
    assert ask(cache, "t").body == b"answer"


@pytest.mark.parametrize("remember", ["0s", "1s"])
@pytest.mark.parametrize("workers", [1, 4])
def test_whatever_becomes_of_endpoint_and_token_is_known_though_memory_has_the_answer(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer, workers: int, remember: str
) -> None:
    """At once, or where tokens are remembered by the time that they may be: then nobody gets anything."""
    origin.put(ITEM, b"answer")
    endpoint = {"url": server.url, "timeout": "1s"}
    cache = gateway({"endpoint": endpoint, "remember": remember}, workers=workers, **SHARED)
    longest = float(remember[:-1])
    sent = request(f"GET {ITEM}", f"Host: {cache.netloc}", "Authorization: Bearer t")

    def is_answered() -> None:
        server.issue("t")
        with Conversation(cache.address) as client:
            for _ in range(6):
                assert client.send(sent).reply().body == b"answer"

    def is_refused(status: int) -> None:
        begun = clock.steady()
        if not longest:
            assert ask(cache, "t").status == status
        while clock.steady() - begun < longest:
            assert ask(cache, "t").status in (200, status)
        assert {ask(cache, "t").status for _ in range(2 * workers)} == {status}

    is_answered()
    server.revoke("t")
    is_refused(401)
    for lie in LIES.values():
        is_answered()
        server.lie = lie
        is_refused(503)
        server.lie = None
    is_answered()
    gate = server.origin.gate(PATH)
    is_refused(503)
    gate.open()
    is_answered()
    server.origin.stop()
    is_refused(503)
    server.origin.start()
    is_answered()
    assert origin.count(ITEM) == 1


def test_what_is_remembered_spares_questions(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> None:
    origin.put(ITEM, b"answer")
    cache = gateway({"remember": "1h"}, workers=1)
    server.issue("t")
    server.issue("ended", exp=5)
    for bearer in ("t", "ended") * 3:
        assert ask(cache, bearer).status == 200
    assert server.asked_for == ["t", "ended", "ended", "ended"]


def test_jwts_are_verified_without_asking_for_each(
    make_proxy: Callable[..., Proxy], origin: Origin
) -> None:
    one, other = key("RSA", 2048), key("RSA", 2048, number=1)
    origin.put("/jwks", json.dumps(key_set(public(one, kid="a"))).encode())
    origin.put(ITEM, b"answer")
    jwt = {"jwks": origin.url("/jwks"), "issuer": CLAIMS["iss"], "audience": CLAIMS["aud"]}
    route = {"upstream": origin.url("/"), "cache": CACHED, "introspect": {"jwt": jwt}}
    cache = make_proxy(config={"routes": {API: route}}, workers=1)
    lasting = {**CLAIMS, "exp": clock.wall() + 3600}
    for _ in range(3):
        assert ask(cache, token(one, "RS256", lasting, kid="a")).body == b"answer"
    assert ask(cache, token(other, "RS256", lasting, kid="a")).status == 401
    assert ask(cache, token(one, "RS256", {**lasting, "exp": 5}, kid="a")).status == 401
    assert origin.count("/jwks") == 1
    origin.put("/jwks", b"", status=500)
    assert ask(cache, token(other, "RS256", lasting, kid="new")).status == 401  # asked for just now
    fresh = make_proxy(config={"routes": {API: route}}, workers=1)
    assert ask(fresh, token(one, "RS256", lasting, kid="a")).status == 503


def test_no_log_has_tokens_or_credentials(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer, tmp_path: Path
) -> None:
    origin.put(ITEM, b"answer")
    secret = tmp_path / "secret"
    secret.write_text("gateway:s3cret\n")
    secret.chmod(0o600)
    endpoint = {"url": server.url, "credentials": f"${{file:{secret}}}", "timeout": "2s"}
    log = tmp_path / "access.log"
    cache = gateway(
        {"endpoint": endpoint, "token": ["bearer", {"query": "t"}], "forward_token": False}, **SHARED
    )
    cache.configure(
        {
            "routes": {
                API: {
                    "upstream": origin.url("/"),
                    "introspect": {"endpoint": endpoint, "token": ["bearer", {"query": "t"}]},
                }
            },
            "log": {"access": str(log), "level": "debug", "query": True},
        }
    )
    cache.restart()
    server.issue("t0ken")
    assert ask(cache, "t0ken").status == 200
    assert ask(cache, None, f"{ITEM}?a=1&t=t0ken").status == 200
    server.lie = b"HTTP/1.1 200 OK\r\nX-Echo t0ken s3cret\r\n\r\n"
    assert ask(cache, "t0ken").status == 503
    assert ask(cache, None, f"{ITEM}?t=t0ken").status == 503
    server.origin.stop()
    assert ask(cache, "t0ken").status == 503
    cache.terminate()
    written = cache.log() + log.read_text()
    assert written.count(ITEM) >= 5
    assert "a=1" in written
    for text in ("t0ken", "s3cret"):
        assert text not in written


def test_a_secret_that_is_not_there_is_refused_before_the_start(
    make_proxy: Callable[..., Proxy], origin: Origin
) -> None:
    endpoint = {"url": "https://idp.test/", "credentials": "${env:NOT_THERE}"}
    route = {"upstream": origin.url("/"), "introspect": {"endpoint": endpoint}}
    with pytest.raises(Exception, match="NOT_THERE"):
        make_proxy(config={"routes": {API: route}})


def test_limits_that_need_no_token_spare_the_endpoint(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> None:
    origin.put(ITEM, b"answer")
    limits = {
        "ip": {"by": "client", "count": 6, "per": "1h"},
        "user": {"by": {"token": "sub"}, "count": 2, "per": "1h"},
    }
    cache = gateway(limits=limits)
    for bearer, user in (("a", "ann"), ("a2", "ann"), ("b", "bob")):
        server.issue(bearer, sub=user)
    asked = ("a", "a2", "a", "bad", "b", "b", "b", "a")
    assert [ask(cache, bearer).status for bearer in asked] == [200, 200, 429, 401, 200, 200, 429, 429]
    assert server.asked_for == list(asked[:6])
    assert (ask(cache, "bad").get("RateLimit") or "").startswith('"ip";r=0')


def test_a_request_with_content_or_for_another_protocol_is_checked_too(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> None:
    origin.put(ITEM, b"answer")
    cache = gateway()
    server.issue("t")
    with Conversation(cache.address) as client:
        for number in range(2):  # what is refused leaves its connection in order
            head = f"POST {ITEM} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer bad{number}\r\n"
            assert client.send(f"{head}Content-Length: 4\r\n\r\nbody".encode()).reply("POST").status == 401
        head = f"POST {ITEM} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t\r\n"
        assert client.send(f"{head}Content-Length: 4\r\n\r\nbody".encode()).reply("POST").body == b"answer"
    with Conversation(cache.address) as client:
        head = f"GET {ITEM} HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        assert client.send(f"{head}Authorization: Bearer bad\r\n\r\n".encode()).reply().status == 401
    assert [asked.body for asked in origin.asked(ITEM)] == [b"body"]


def test_invented_tokens_do_not_fill_the_limits_of_valid_ones(
    gateway: Callable[..., Proxy], origin: Origin, server: IntrospectionServer
) -> None:
    origin.put(ITEM, b"answer")
    limits = {"token": {"by": {"header": "authorization"}, "count": 1, "per": "1h", "keys": 1}}
    cache = gateway(limits=limits)
    server.issue("a", sub="ann")
    invented = [ask(cache, f"bad{number}") for number in range(40)]
    assert [(reply.status, reply.get("RateLimit")) for reply in invented] == [(401, None)] * 40
    assert [ask(cache, "a").status for _ in range(2)] == [200, 429]
