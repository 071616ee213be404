"""Refreshes of a route: the upstream is asked before an answer is stale, and no client waits for that."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from harness import Proxy
from introspection_server import IntrospectionServer
from origin import Origin
from waiting import until

MakeProxy = Callable[..., Proxy]
EVERY = {"every": "1s"}
MakeGateway = Callable[..., Proxy]


@pytest.fixture
def gateway(make_proxy: MakeProxy, origin: Origin) -> MakeGateway:
    """Makes a gateway whose answers are refreshed."""

    def make(refresh: dict[str, Any], workers: int = 1, ttl: str = "1h", **cache: Any) -> Proxy:
        route = {"upstream": origin.url("/"), "cache": {"ttl": ttl, **cache}, "refresh": refresh}
        return make_proxy(config={"routes": {"/": route}}, workers=workers)

    return make


@contextmanager
def asking(proxy: Proxy, path: str = "/x", **options: Any) -> Iterator[list[tuple[float, int, bytes]]]:
    """A client that asks again and again meanwhile: the seconds, status and body of each answer."""
    answers: list[tuple[float, int, bytes]] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.wait(0.05):  # the pace of the client
            begun = time.monotonic()
            reply = proxy.get(path, **options)
            answers.append((time.monotonic() - begun, reply.status, reply.body))

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield answers
    finally:
        is_over.set()
        client.join()


def test_what_is_in_use_is_refreshed_and_nobody_waits(gateway: MakeGateway, origin: Origin) -> None:
    origin.put("/x", b"old", etag='"1"')
    proxy = gateway(EVERY)
    for _ in range(2):
        assert proxy.get("/x").body == b"old"
    gate = origin.gate("/x")
    with asking(proxy) as answers:
        gate.wait_reached()
        seen = len(answers)
        until(lambda: len(answers) > seen + 5)  # while the upstream says nothing
        assert {body for _seconds, _status, body in answers} == {b"old"}
        assert origin.count("/x") == 2
        origin.put("/x", b"new", etag='"2"')
        gate.open()
        until(lambda: answers[-1][2] == b"new")
    assert [asked.get("If-None-Match") for asked in origin.asked("/x")][:2] == [None, '"1"']
    assert {status for _seconds, status, _body in answers} == {200}


def test_what_nobody_uses_is_not_refreshed_any_more(gateway: MakeGateway, origin: Origin) -> None:
    origin.put("/x", b"answer")
    proxy = gateway(EVERY)
    assert proxy.get("/x").body == b"answer"
    until(lambda: proxy.log().count("is not refreshed any more: nobody uses it") == 1)
    assert origin.count("/x") == 1  # the client that has brought it is no use of it
    assert proxy.get("/x").body == b"answer"
    origin.wait_for("/x", 2)
    until(lambda: proxy.log().count("is not refreshed any more: nobody uses it") == 2)
    assert proxy.get("/x").body == b"answer"


@pytest.mark.parametrize("workers", [1, 2])
def test_after_so_many_hits(gateway: MakeGateway, origin: Origin, workers: int) -> None:
    origin.put("/x", b"answer")
    proxy = gateway({"hits": 10}, workers)
    for _ in range(10):
        assert proxy.get("/x").body == b"answer"
    assert origin.count("/x") == 1
    until(lambda: proxy.get("/x").status == 200 and origin.count("/x") == 2)


@pytest.mark.parametrize("status", [401, 404, 500])
def test_an_error_removes_the_answer(gateway: MakeGateway, origin: Origin, status: int) -> None:
    origin.put("/x", b"answer")
    proxy = gateway(EVERY, ttl_error="1h")
    for _ in range(2):
        assert proxy.get("/x").body == b"answer"
    origin.put("/x", b"", status=status)
    until(lambda: "is not refreshed any more: the upstream" in proxy.log())
    origin.put("/x", b"later")
    assert proxy.get("/x").body == b"later"
    assert origin.count("/x") == 3


def test_where_the_upstream_is_gone(gateway: MakeGateway, origin: Origin) -> None:
    origin.put("/x", b"answer")
    plain, standing_in = gateway(EVERY), gateway(EVERY, stale_if_error="1h")
    for proxy in (plain, standing_in) * 2:
        assert proxy.get("/x").body == b"answer"
    origin.stop()
    until(lambda: "is not refreshed any more: the upstream" in plain.log())
    assert plain.get("/x").status == 502
    assert standing_in.get("/x").body == b"answer"


def test_a_post_is_repeated_with_its_content_and_credentials(gateway: MakeGateway, origin: Origin) -> None:
    origin.put("/x", b"old", etag='"1"')
    proxy = gateway(EVERY, key={"body": True, "headers": []})
    fields = [("Authorization", "Bearer secret-of-this-test"), ("Content-Type", "application/json")]
    content = json.dumps({"a": "content-of-this-test"}).encode()
    options: dict[str, Any] = {"method": "POST", "headers": fields, "body": content}
    assert proxy.get("/x", **options).body == b"old"
    origin.put("/x", b"new", etag='"2"')
    with asking(proxy, **options) as answers:
        until(lambda: answers and answers[-1][2] == b"new")
    first, second, *_ = origin.asked("/x")
    assert (first.method, first.body) == (second.method, second.body) == ("POST", content)
    assert first.get("Authorization") == second.get("Authorization") == fields[0][1]
    assert second.get("If-None-Match") is None  # an origin answers 412 to that, not 304
    for file in (*proxy.cache_dir.rglob("*"), proxy.log_file):
        if file.is_file():
            content = file.read_bytes()
            assert b"secret-of-this-test" not in content
            assert b"content-of-this-test" not in content


def test_two_workers_refresh_once(gateway: MakeGateway, origin: Origin) -> None:
    """Both have the request and are due at the same time; while the one asks, the other one does not."""
    origin.put("/x", b"answer")
    proxy = gateway(EVERY, workers=2)
    for _ in range(40):  # by then both have answered some
        assert proxy.get("/x").body == b"answer"
    gate = origin.gate("/x")
    with asking(proxy) as answers:
        gate.wait_reached()
        seen = len(answers)
        until(lambda: len(answers) > seen + 40)  # longer than the other worker is due for
        assert origin.count("/x") == 2
        gate.open()
        origin.wait_for("/x", 3)


def test_a_purge_wins_over_a_refresh_that_runs(gateway: MakeGateway, origin: Origin) -> None:
    origin.put("/x", b"old")
    proxy = gateway(EVERY)
    for _ in range(2):
        assert proxy.get("/x").body == b"old"
    gate = origin.gate("/x")
    gate.wait_reached()
    assert proxy.get("/x", method="PURGE").status == 200
    gate.open()
    origin.wait_idle()
    origin.put("/x", b"new")
    assert proxy.get("/x").body == b"new"


def test_a_stop_ends_refreshes(gateway: MakeGateway, origin: Origin) -> None:
    origin.put("/x", b"answer")
    proxy = gateway(EVERY)
    for _ in range(2):
        assert proxy.get("/x").body == b"answer"
    gate = origin.gate("/x")
    gate.wait_reached()
    assert proxy.terminate() == 0  # with the upstream still silent
    gate.open()
    origin.put("/x", b"new")
    assert proxy.start().get("/x").body == b"answer"


def test_a_slow_upstream_gathers_no_refreshes(gateway: MakeGateway, origin: Origin) -> None:
    origin.put("/x", b"answer")
    proxy = gateway(EVERY)
    for number in [*range(20)] * 2:
        assert proxy.get(f"/x?{number}").body == b"answer"
    gate = origin.gate("/x")
    gate.wait_reached()
    with asking(proxy, "/x?1") as answers:
        until(lambda: len(answers) > 40)
    assert origin.count("/x") <= 22  # two at a time
    gate.open()


@pytest.fixture
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as server:
        yield server


def test_a_revoked_token_removes_what_it_brought(
    make_proxy: MakeProxy, origin: Origin, server: IntrospectionServer
) -> None:
    """The request passes its gates each time that it is made again, limits apart: no client has asked."""
    origin.put("/x", b"answer")
    route = {
        "upstream": origin.url("/"),
        "cache": {"ttl": "1h", "key": {"headers": []}},
        "refresh": EVERY,
        "introspect": {
            "endpoint": {"url": server.url, "timeout": "10s"},
            "token": [{"query": "key"}],
            "pass_on": {"header": "X-Token", "without": ["exp"]},
        },
        "limits": {"one": {"by": "client", "count": 1000, "per": "1h"}},
    }
    proxy = make_proxy(config={"routes": {"/": route}})
    server.issue("secret-of-this-test", sub="ann")
    path, asked, body = "/x?key=secret-of-this-test", 1, b""
    assert proxy.get(path).body == b"answer"
    origin.put("/x", b"refreshed")
    while body != b"refreshed":
        time.sleep(0.05)  # the pace of the client
        reply, asked = proxy.get(path), asked + 1
        body = reply.body
    first, again, *_ = origin.asked("/x")
    assert first.get("X-Token") == again.get("X-Token") is not None
    assert f";r={1000 - asked};" in (reply.get("RateLimit") or "")
    server.revoke("secret-of-this-test")
    until(lambda: "is not refreshed any more: its request is refused" in proxy.log())
    assert proxy.get(path).status == 401
    assert "secret-of-this-test" not in proxy.log()
