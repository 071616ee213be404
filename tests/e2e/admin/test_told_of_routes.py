"""What the operator is told of routes' gates, pools, refreshes and events: of all workers, and exactly."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from asked_admin import Admin, MakeAdmin, config_with
from commands import reload
from introspection_server import IntrospectionServer
from origin import Origin
from waiting import until

LIMITS = "pyproxycache_limit_requests_total"
TOKENS = "pyproxycache_tokens_total"
QUESTIONS = "pyproxycache_token_question_duration_seconds_count"
MEMBERS = "pyproxycache_upstream_members"
CACHED = {"ttl": "1h"}


@pytest.fixture
def server() -> Iterator[IntrospectionServer]:
    with IntrospectionServer() as server:
        yield server


def by(asked: Admin, name: str, label: str, **labels: str) -> dict[str, float]:
    """The samples of this name with these labels, by another label; those that are 0 are left out."""
    found: dict[str, float] = {}
    for (own, of), value in asked.samples().items():
        if own == name and of >= frozenset(labels.items()) and value:
            found[dict(of)[label]] = found.get(dict(of)[label], 0) + value
    return found


def asked_at_once(asked: Admin, path: str, count: int, *fields: tuple[str, str]) -> list[int]:
    """The statuses of so many requests, each on a connection of its own."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: asked.proxy.get(path, fields).status, range(count)))


def test_limits_tell_what_they_let_in_and_refuse(admin: MakeAdmin, origin: Origin) -> None:
    origin.put("/a/x", b"answer")
    origin.put("/b/x", b"answer")
    per = {"by": "client", "per": "31d"}
    few, many = {**per, "count": 30}, {**per, "count": 1000, "kind": "bucket"}
    keyed = {"by": {"header": "x-key"}, "per": "31d", "count": 5}
    routes = {
        "/a/": {"upstream": origin.url("/"), "cache": CACHED, "limits": {"few": few, "many": many}},
        "/b/": {"upstream": origin.url("/"), "cache": CACHED, "limits": {"keyed": keyed}},
    }
    asked = admin({"routes": routes}, workers=3)
    statuses = asked_at_once(asked, "/a/x", 50)
    statuses += asked_at_once(asked, "/b/x", 10)
    statuses += asked_at_once(asked, "/b/x", 12, ("X-Key", "a-key-of-a-client"))
    assert (statuses.count(200), statuses.count(429)) == (30 + 10 + 5, 20 + 7)
    assert by(asked, LIMITS, "result", route="/a/", limit="few") == {"admitted": 30, "refused": 20}
    # What one limit refuses the other has not let in either.
    assert by(asked, LIMITS, "result", route="/a/", limit="many") == {"admitted": 30}
    assert by(asked, LIMITS, "result", route="/b/") == {"admitted": 5, "refused": 7}
    assert b"a-key-of-a-client" not in asked.ask("GET /metrics").body


@pytest.mark.parametrize(
    ("counts_by", "remembered"),
    [("client", 19), ({"token": "sub"}, 39)],  # the one before tokens are looked at, the other behind that
    ids=["client", "token"],
)
def test_answers_from_memory_are_counted_by_limits_and_tokens_once(
    admin: MakeAdmin, origin: Origin, server: IntrospectionServer, counts_by: Any, remembered: int
) -> None:
    origin.put("/a/x", b"answer")
    limit = {"by": counts_by, "per": "31d", "count": 20}
    route = {
        "upstream": origin.url("/"),
        "cache": {**CACHED, "key": {"headers": []}},
        "introspect": {"endpoint": {"url": server.url}, "remember": "60s"},
        "limits": {"few": limit},
    }
    asked = admin({"routes": {"/a/": route}})
    sent = [("Authorization", f"Bearer {server.issue('one', sub='ann')}")]
    statuses = [asked.proxy.get("/a/x", sent).status for _ in range(40)]
    assert (statuses.count(200), statuses.count(429)) == (20, 20)
    until(lambda: asked.total("pyproxycache_memory_answers_total") > 19)
    assert by(asked, LIMITS, "result") == {"admitted": 20, "refused": 20}
    assert by(asked, TOKENS, "result") == {"valid": 1, "remembered": remembered}
    assert asked.total(QUESTIONS, result="answered") == 1


def test_tokens_are_told_apart_by_what_they_are(
    admin: MakeAdmin, origin: Origin, server: IntrospectionServer
) -> None:
    origin.put("/a/x", b"answer")
    introspect = {"endpoint": {"url": server.url}, "remember": "60s", "scope": ["read"]}
    route = {"upstream": origin.url("/"), "cache": CACHED, "introspect": introspect}
    asked = admin({"routes": {"/a/": route}}, workers=1)
    server.issue("good", scope="read")
    server.issue("narrow", scope="write")
    for bearer in ("good", "good", "good", "narrow", "unknown", None):
        asked.proxy.get("/a/x", [] if bearer is None else [("Authorization", f"Bearer {bearer}")])
    assert by(asked, TOKENS, "result", route="/a/") == {"valid": 1, "remembered": 2, "refused": 3}
    server.lie = b"no JSON"
    assert asked.proxy.get("/a/x", [("Authorization", "Bearer other")]).status >= 500
    assert by(asked, TOKENS, "result", route="/a/")["failed"] == 1
    assert by(asked, QUESTIONS, "result", route="/a/") == {"answered": 3, "failed": 1}
    text = asked.ask("GET /metrics").body
    for bearer in ("good", "narrow", "unknown", "other"):
        assert f'"{bearer}"'.encode() not in text


def test_members_of_pools_are_told_as_workers_know_them(admin: MakeAdmin, origin: Origin) -> None:
    with ExitStack() as stack:
        members = [stack.enter_context(Origin()) for _ in range(2)]
        for member in members:
            member.put("/api/x", b"answer")
        pool = {"failures": 1, "pause": "1h", "max_pause": "1h"}
        route = {"upstream": [one.url("/") for one in members], "pool": pool, "exclude": True}
        asked = admin({"routes": {"/api/": route}}, workers=2)
        first, second = (one.url("/") for one in members)
        until(lambda: by(asked, MEMBERS, "member", state="in") == {first: 2, second: 2})
        members[1].stop()
        for _ in range(30):
            assert asked.proxy.get("/api/x").status == 200
        until(
            lambda: all(asked.proxy.get("/api/x").status for _ in range(4)) and by_out(asked, second) == 2
        )
        assert by(asked, MEMBERS, "state", member=first) == {"in": 2}
        assert asked.total("pyproxycache_upstream_retries_total") == 2
        assert asked.total("pyproxycache_upstream_requests_total", member=second, result="failed") == 2
        assert asked.total("pyproxycache_upstream_requests_total", member=first, result="answered") >= 30
        members[0].stop()
        assert {asked.proxy.get("/api/x").status for _ in range(20)} <= {502, 503}
        assert asked.total("pyproxycache_upstream_none_left_total") > 0
        # A pool that is there no more is out of nothing.
        assert isinstance(asked.address, tuple)
        alone = {"/api/": {"upstream": origin.url("/")}}
        reload(asked.proxy, {**config_with(asked.address), "routes": alone})
        until(lambda: by(asked, MEMBERS, "state") == {})
        assert not any(name == MEMBERS for name, _labels in asked.samples())


def by_out(asked: Admin, member: str) -> float:
    return asked.total(MEMBERS, member=member, state="out")


def test_health_checks_are_told(admin: MakeAdmin) -> None:
    with ExitStack() as stack:
        members = [stack.enter_context(Origin()) for _ in range(2)]
        for member, status in zip(members, (200, 500), strict=True):
            member.put("/health", b"", status=status, cache_control="no-store")
        health = {"path": "/health", "every": "0.2s"}
        route = {"upstream": [one.url("/") for one in members], "pool": {"health": health}}
        asked = admin({"routes": {"/api/": route}}, workers=1)
        until(lambda: asked.total(MEMBERS, member=members[1].url("/"), state="ill") == 1)
        assert asked.total(MEMBERS, member=members[0].url("/"), state="in") == 1
        checks = "pyproxycache_upstream_checks_total"
        until(lambda: asked.total(checks, member=members[1].url("/"), result="ill") > 1)
        assert asked.total(checks, member=members[0].url("/"), result="well") > 0
        assert asked.total(checks, member=members[0].url("/"), result="ill") == 0


def test_refreshes_are_told(admin: MakeAdmin, origin: Origin) -> None:
    origin.put("/x", b"answer", etag='"1"')
    route = {"upstream": origin.url("/"), "cache": {"ttl": "1h"}, "refresh": {"every": "1s"}}
    asked = admin({"routes": {"/": route}}, workers=1)
    for _ in range(2):
        assert asked.proxy.get("/x").status == 200
    until(lambda: asked.total("pyproxycache_refreshes_total", result="renewed") >= 1)
    until(lambda: asked.total("pyproxycache_refreshes_dropped_total", why="unused") == 1)
    assert asked.total("pyproxycache_refreshes_total", result="failed") == 0


def events_of(asked: Admin, target: str) -> dict[str, float]:
    names = ("queued", "spooled", "sent")
    return {one: asked.total(f"pyproxycache_events_{one}_total", target=target) for one in names}


def test_events_are_told_on_their_way(admin: MakeAdmin, origin: Origin, tmp_path: Path) -> None:
    origin.put("/api/x", b"answer")
    folder = tmp_path / "goes and comes"
    folder.mkdir()
    config: dict[str, Any] = {
        "routes": {"/api/": {"upstream": origin.url("/"), "events": {}, "cache": CACHED}},
        "events": {"file": str(folder / "events.jsonl")},
    }
    asked = admin(config, workers=2)
    folder.rmdir()
    assert asked_at_once(asked, "/api/x", 40) == [200] * 40
    until(lambda: events_of(asked, "file") == {"queued": 40, "spooled": 40, "sent": 0})
    assert asked.total("pyproxycache_events_waiting_bytes", target="file") > 40 * 100
    folder.mkdir()
    until(lambda: events_of(asked, "file") == {"queued": 40, "spooled": 40, "sent": 40})
    until(lambda: asked.total("pyproxycache_events_waiting_bytes", target="file") == 0)
    assert asked.total("pyproxycache_events_dropped_total") == 0


def test_without_a_store_events_are_told(admin: MakeAdmin, origin: Origin, tmp_path: Path) -> None:
    origin.put("/api/x", b"answer")
    config: dict[str, Any] = {
        "routes": {"/api/": {"upstream": origin.url("/"), "events": {}}},
        "events": {"file": str(tmp_path / "events.jsonl")},
    }
    asked = admin(config)
    until(lambda: asked.total("pyproxycache_workers") == 1)
    folder = asked.proxy.cache_dir
    folder.rename(folder.with_name("aside"))
    folder.touch()
    asked.proxy.kill_worker(asked.proxy.worker_pids()[0])
    until(lambda: asked.total("pyproxycache_store_up") == 0)
    assert asked.proxy.get("/api/x").status == 200
    until(lambda: asked.total("pyproxycache_events_queued_total", target="file") == 1)
    folder.unlink()
    folder.with_name("aside").rename(folder)
    until(lambda: asked.total("pyproxycache_events_sent_total", target="file") == 1)
