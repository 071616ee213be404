"""Sliding lifetimes of a route: clients who ask keep an answer, whichever worker answers them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import Proxy, Reply
from origin import Origin
from waiting import until

MakeProxy = Callable[..., Proxy]
TTL = 2.0
SLIDING = {"ttl": f"{TTL:g}s", "sliding": True}


@pytest.fixture
def sliding(make_proxy: MakeProxy, origin: Origin) -> Callable[..., Proxy]:
    """Makes a gateway whose answers slide, with these options of its cache besides."""

    def make(
        workers: int = 1, memory: str = "64M", routes: dict[str, Any] | None = None, **cache: Any
    ) -> Proxy:
        routes = {"/": {"upstream": origin.url("/"), "cache": {**SLIDING, **cache}, "routes": routes or {}}}
        return make_proxy(config={"routes": routes, "memory": memory}, workers=workers)

    return make


def in_use(proxy: Proxy, path: str, seconds: float) -> Iterator[tuple[Reply, bool]]:
    """Answers to clients who keep asking, each with whether this machine let one wait too long for it."""
    end = time.monotonic() + seconds
    last = time.monotonic()
    while last < end:
        reply, before = proxy.get(path), last
        last = time.monotonic()
        yield reply, last - before > TTL / 2
        time.sleep(0.05)  # the pace of the clients


@pytest.mark.parametrize(("workers", "memory"), [(1, "64M"), (2, "64M"), (2, "0")])
def test_what_is_in_use_outlives_its_lifetime(
    sliding: Callable[..., Proxy], origin: Origin, workers: int, memory: str
) -> None:
    origin.put("/x", b"answer", etag='"1"')
    proxy = sliding(workers, memory)
    late = 0
    for reply, was_late in in_use(proxy, "/x", 4 * TTL):
        assert reply.body == b"answer"
        late += was_late
    assert origin.count("/x") <= 1 + late


def test_what_nobody_uses_ends_and_is_validated(sliding: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/x", b"answer", etag='"1"')
    origin.put("/timer", b"other")
    longer = {"cache": {"sliding": False, "ttl": "6s"}}  # as Date has whole seconds
    proxy = sliding(routes={"timer": longer}, ttl="4s")
    for _ in range(3):
        assert proxy.get("/x").status == 200
    assert origin.count("/x") == 1
    until(lambda: proxy.get("/timer").status == 200 and origin.count("/timer") == 2)
    assert proxy.get("/x").body == b"answer"
    assert [asked.get("If-None-Match") for asked in origin.asked("/x")] == [None, '"1"']


def test_the_longest_life_ends_what_is_in_use(sliding: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/x", b"answer", etag='"1"')
    proxy = sliding(longest="3s")
    until(lambda: proxy.get("/x").status == 200 and origin.count("/x") == 3)
    assert [asked.get("If-None-Match") for asked in origin.asked("/x")] == [None, '"1"', '"1"']
    assert proxy.get("/x", [("If-None-Match", '"1"')]).status == 304


def test_errors_end_however_often_they_are_given(sliding: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/x", b"broken", status=500)
    proxy = sliding(ttl="1h", ttl_error="2s")
    until(lambda: proxy.get("/x").status == 500 and origin.count("/x") == 2)
