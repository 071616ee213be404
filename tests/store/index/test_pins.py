"""Pinned entries stay: whatever room is needed, and however long nobody asks for them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cachedir import CacheDir, entry, whole

from pyproxycache.store.index.pins import Pins

pytestmark = pytest.mark.in_files

KB = 4096
ORIGIN = "http://origin.example"


@pytest.fixture
def pins(cache: CacheDir) -> Pins:
    return Pins(cache.database)


def put(cache: CacheDir, name: str, body: str = "", at: float = 1000.0) -> None:
    made = whole(entry(f"{ORIGIN}/{name}", at=at), (body or name).encode())
    cache.insert_as_it_is(replace(made, size=KB))


def names(cache: CacheDir) -> list[str]:
    return [key.removeprefix(f"{ORIGIN}/") for key in sorted(cache.keys())]


def test_neither_evicted_nor_unused(cache: CacheDir, pins: Pins) -> None:
    for name in "abcdef":
        put(cache, name)
    assert pins.pin([f"{ORIGIN}/a", f"{ORIGIN}/b", f"{ORIGIN}/later"], 5.0) == 3
    assert pins.pin([f"{ORIGIN}/a"], 6.0) == 0
    cache.space(max_size=0).collect()
    assert names(cache) == ["a", "b"]
    put(cache, "later")
    put(cache, "other")
    collected = cache.space(max_size=100 * KB, unused=1.0).collect()
    assert collected is not None
    assert collected.entries == 1
    assert names(cache) == ["a", "b", "later"]
    assert pins.unpin([f"{ORIGIN}/a", f"{ORIGIN}/none"]) == 1
    cache.space(max_size=0).collect()
    assert names(cache) == ["b", "later"]


def test_a_body_that_a_pinned_entry_shares_frees_nothing(cache: CacheDir, pins: Pins) -> None:
    put(cache, "a", "same")
    put(cache, "b", "same")
    put(cache, "c", "same")
    pins.pin([f"{ORIGIN}/a"], 5.0)
    collected = cache.space(max_size=100 * KB, unused=1.0).collect(dry_run=True)
    assert collected is not None
    assert (collected.entries, collected.bytes) == (2, 0)


def test_patterns(cache: CacheDir, pins: Pins) -> None:
    for number in range(1500):
        put(cache, f"{number}.deb", "x")
    put(cache, "index", "x")
    assert pins.pin_matching("*.deb", 5.0) == 1500
    assert pins.pin_matching("*", 5.0) == 1
    assert {access.entry.key for access in cache.listing.walk() if not access.is_pinned} == set()
    assert pins.unpin_matching("*.deb") == 1500
    assert [url.key for url in cache.listing.urls() if url.is_pinned] == [f"{ORIGIN}/index"]
    assert pins.unpin_matching("*") == 1


def test_a_purge_goes_before_a_pin_which_stays(cache: CacheDir, pins: Pins) -> None:
    put(cache, "a")
    pins.pin([f"{ORIGIN}/a"], 5.0)
    assert cache.index.purge([f"{ORIGIN}/a"]) == 1
    put(cache, "a")
    cache.space(max_size=0).collect()
    assert names(cache) == ["a"]
