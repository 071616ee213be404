"""Rate limits of routes by the real server: exact over all workers, whatever kind, and told to clients.

Run as a script for the full count of rounds: `make limit-rounds`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import http_sf
import pytest

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from certificates import Certificate
from harness import Proxy
from http2_clients import Http2Client, tls_proxy
from introspection_server import IntrospectionServer
from origin import Origin
from raw import Conversation

MakeProxy = Callable[..., Proxy]
WORKERS, CLIENTS, OF_A_CLIENT = 4, 12, 5
REQUESTS = CLIENTS * OF_A_CLIENT
KINDS = ("fixed", "sliding", "bucket")
BY_KEY = {"by": {"header": "x-key"}, "per": "31d"}


def routes(origin: Origin, server: IntrospectionServer) -> dict[str, Any]:
    """A route for each kind, some with several at once, and one that counts by remembered tokens."""
    limits = {
        kind: {**BY_KEY, "kind": kind, "count": number}
        for kind, number in zip(KINDS, (REQUESTS // 2, 7, REQUESTS - 1), strict=True)
    }
    by_kind = {f"/{kind}/": {"limits": {kind: limits[kind]}} for kind in KINDS}
    several = {
        "/both/": {"limits": {kind: limits[kind] for kind in ("fixed", "bucket")}},
        "/all/": {"limits": limits},
    }
    # By the token's body, and by a client as well, so that each request passes limits twice.
    by_user = {kind: {**limits[kind], "by": {"token": "sub"}} for kind in ("fixed", "bucket")}
    tokens = {
        "introspect": {"endpoint": server.url, "token": [{"header": "x-key"}], "remember": "1h"},
        "cache": {"key": {"headers": []}},
        "limits": {**by_user, "ip": {"by": "client", "count": 1_000_000, "per": "31d"}},
    }
    nested = by_kind | several | {"/tokens/": tokens}
    return {"routes": {"/": {"upstream": origin.url("/"), "cache": {"ttl": "1h"}, "routes": nested}}}


EXPECTED = {
    "/fixed/": REQUESTS // 2,
    "/sliding/": 7,
    "/bucket/": REQUESTS - 1,
    "/both/": REQUESTS // 2,
    "/all/": 7,
    "/tokens/": REQUESTS // 2,
}


def asked(address: tuple[str, int], path: str, key: str) -> list[int]:
    """The statuses of several requests on a connection of their own."""
    with Conversation(address) as client:
        sent = f"GET {path} HTTP/1.1\r\nHost: gateway.test\r\nX-Key: {key}\r\n\r\n".encode()
        return [client.send(sent).reply().status for _ in range(OF_A_CLIENT)]


def wrong_in_rounds(proxy: Proxy, server: IntrospectionServer, rounds: int) -> list[str]:
    """In each round many clients ask each route at once, with a key that nobody had before."""
    wrong = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        for round_ in range(rounds):
            for path, expected in EXPECTED.items():
                key = server.issue(f"{path}{round_}", sub=f"user-{round_}")
                ask = [(proxy.address, f"{path}x", key)] * CLIENTS
                statuses = Counter(
                    status for client in pool.map(lambda one: asked(*one), ask) for status in client
                )
                if statuses != {200: expected, 429: REQUESTS - expected}:
                    wrong.append(f"{path}: {dict(statuses)}, not {expected} of {REQUESTS}")
    return wrong


def test_exactly_as_many_pass_as_limits_say(make_proxy: MakeProxy, origin: Origin) -> None:
    for path in EXPECTED:
        origin.put(f"{path}x", b"answer")
    with IntrospectionServer() as server:
        proxy = make_proxy(workers=WORKERS, config=routes(origin, server))
        assert wrong_in_rounds(proxy, server, 4) == []
    # Hits are counted, and what is refused reaches nobody.
    assert all(origin.count(f"{path}x") == 1 for path in EXPECTED)


@pytest.fixture
def limited(make_proxy: MakeProxy, origin: Origin) -> Callable[..., Proxy]:
    """Makes a gateway with one route to the origin, with these limits."""

    def make(limits: dict[str, Any], workers: int = 1, **options: Any) -> Proxy:
        origin.put("/api/x", b"answer", headers=[("RateLimit", '"origin";r=5;t=1')])
        route = {"upstream": origin.url("/"), "cache": {"ttl": "1h"}, "limits": limits}
        return make_proxy(config={"routes": {"/api/": route}, **options}, workers=workers)

    return make


def parsed(value: str | None) -> list[Any]:
    assert value is not None
    return list(http_sf.parse(value.encode(), tltype="list"))


def test_answers_tell_of_the_limits(limited: Callable[..., Proxy]) -> None:
    proxy = limited({"token": {**BY_KEY, "count": 2}, "ip": {"by": "client", "count": 90, "per": "1h"}})
    replies = [proxy.get("/api/x", [("X-Key", "a")]) for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    for left, reply in zip((1, 0, 0), replies, strict=True):
        (name, told), *_rest = parsed(reply.get("RateLimit"))
        assert (name, told["r"]) == ("token", left)
        policies = [("ip", {"q": 90, "w": 3600}), ("token", {"q": 2, "w": 31 * 86400})]
        assert parsed(reply.get("RateLimit-Policy")) == policies
    assert int(replies[2].get("Retry-After") or "0") > 30 * 86400
    assert replies[2].get("Cache-Control") == "no-store"
    # The refused one took nothing of the other limit.
    (_name, told), *_rest = parsed(proxy.get("/api/x").get("RateLimit"))
    assert told["r"] == 87


def test_an_error_tells_of_the_limits_too(limited: Callable[..., Proxy], origin: Origin) -> None:
    proxy = limited({"ip": {"by": "client", "count": 90, "per": "1h"}})
    origin.stop()
    reply = proxy.get("/api/x")
    assert (reply.status, (reply.get("RateLimit") or "").partition(";t=")[0]) == (502, '"ip";r=89')


def test_what_a_client_sends_around_its_own_key_helps_it_nothing(limited: Callable[..., Proxy]) -> None:
    invented = map(str, count())
    proxy = limited({"key": {"by": {"query": "key"}, "count": 3, "per": "31d"}}, workers=2)
    targets = [
        f"/api/x?key={next(invented)}&key=mine",
        f"/api/x?key=mine&key={next(invented)}",
        "/api/x?k%65y=m%69ne",
        "/api//x?key=mine",
        "/api/x?key=mine&key=mine",
        f"/api/x?key={next(invented)}&key=mine&key={next(invented)}",
    ]
    assert [proxy.get(target).status for target in targets] == [200, 200, 200, 429, 429, 429]
    many = "&".join(f"key={next(invented)}" for _ in range(9))
    assert proxy.get(f"/api/x?{many}").status == 400


def test_who_is_behind_a_trusted_proxy_counts(limited: Callable[..., Proxy]) -> None:
    ip = {"ip": {"by": "client", "count": 1, "per": "31d"}}
    for trust, statuses in (["127.0.0.0/8"], [200, 429, 200, 429]), ([], [200, 429, 429, 429]):
        proxy = limited(ip, forwarded={"trust": trust})
        clients = ("198.51.100.1", "203.0.113.9, 198.51.100.1", "198.51.100.2", "2.2.2.2, 198.51.100.2")
        assert [proxy.get("/api/x", [("X-Forwarded-For", client)]).status for client in clients] == statuses


def test_counts_outlive_workers_and_reloads(limited: Callable[..., Proxy]) -> None:
    limits = {"token": {**BY_KEY, "count": 4}}
    proxy = limited(limits, workers=2)
    key = [("X-Key", "a")]
    assert proxy.get("/api/x", key).status == 200
    for pid in proxy.worker_pids():
        proxy.kill_worker(pid)
    assert proxy.get("/api/x", key).status == 200
    proxy.reload()
    assert [proxy.get("/api/x", key).status for _ in range(3)] == [200, 200, 429]


def test_sub_routes_share_what_they_inherit(make_proxy: MakeProxy, origin: Origin) -> None:
    for path in ("/a/x", "/a/b/x", "/a/c/x", "/a/d/x"):
        origin.put(path, b"answer")
    nested = {
        "b/": {},
        "c/": {"limits": {"key": {"count": 1}}},
        "d/": {"limits": {"key": None}},
    }
    limits = {"key": {**BY_KEY, "count": 2}}
    proxy = make_proxy(
        config={"routes": {"/a/": {"upstream": origin.url("/"), "limits": limits, "routes": nested}}}
    )

    def statuses(paths: Sequence[str]) -> list[int]:
        return [proxy.get(path, [("X-Key", "a")]).status for path in paths]

    assert statuses(["/a/x", "/a/b/x", "/a/x", "/a/b/x"]) == [200, 200, 429, 429]
    assert statuses(["/a/c/x", "/a/c/x"]) == [200, 429]
    assert statuses(["/a/d/x"] * 4) == [200] * 4


def test_who_goes_on_over_a_limit_is_refused_by_http2_too(
    tmp_path: Path, certificate: Certificate, origin: Origin
) -> None:
    """On one connection, many at a time: by then memory refuses them, and each answer is whole."""
    origin.put("/x", b"answer")
    limits = {"key": {**BY_KEY, "count": 5}}
    config = {"routes": {"/": {"upstream": origin.url("/"), "cache": {"ttl": "1h"}, "limits": limits}}}
    fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "h"),
        (":path", "/x"),
        ("x-key", "a"),
    ]
    with (
        tls_proxy(tmp_path / "proxy", certificate, config=config) as proxy,
        Http2Client(proxy.address) as client,
    ):
        answers = [client.get(fields) for _ in range(10)]
        for _ in range(5):
            answers += client.all_of([client.ask(fields) for _ in range(50)])
    assert [int(one.status) for one in answers] == [200] * 5 + [429] * 255
    assert {bytes(one.body)[:18] for one in answers[5:]} == {b"too many requests:"}
    assert all(int(one.fields[-1]["retry-after"]) > 30 * 86400 for one in answers[5:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, Origin() as origin, IntrospectionServer() as server:
        for path in EXPECTED:
            origin.put(f"{path}x", b"answer")
        with Proxy(Path(folder), workers=WORKERS, config=routes(origin, server)) as proxy:
            wrong = wrong_in_rounds(proxy, server, rounds)
    told = f"exact in {rounds} rounds of {REQUESTS} requests for each of {len(EXPECTED)} routes"
    print("\n".join(wrong) or told)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
