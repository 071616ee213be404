"""Entries: what is found, what a purge forgets, and what a late writer must not touch."""

import os
from dataclasses import replace

import pytest
from cachedir import URL, CacheDir, entry, whole

from pyproxycache.messages import Head, Headers
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight_rows import Won


def claim(cache: CacheDir, key: str) -> Won:
    won = cache.claims.claim(FlightKey(key), os.urandom(8).hex(), 1000.0)
    assert isinstance(won, Won)
    return won


def test_what_was_stored_is_found_as_it_was(cache: CacheDir) -> None:
    won = claim(cache, URL)
    given = replace(
        whole(entry(Content_Type="text/plain"), b"body"),
        vary=(("accept", "text/plain"), ("cookie", None)),
        ttl=60.0,
        peer="192.0.2.1",
    )
    id = cache.claims.store(won.claim, given, b"body")
    assert id is not None
    assert cache.stored(URL) == [replace(given, id=id)]
    assert cache.body(given) == b"body"


def test_the_same_variant_is_replaced(cache: CacheDir) -> None:
    first = cache.put(URL, b"old", etag='"1"')
    second = cache.put(URL, b"new", etag='"2"')
    assert cache.stored(URL) == [second]
    assert second.id == first.id
    assert cache.body(second) == b"new"


@pytest.mark.in_files
def test_two_urls_with_the_same_bytes_keep_one_blob(cache: CacheDir) -> None:
    first, second = cache.put(URL, b"body"), cache.put(f"{URL}2", b"body")
    assert first.digest == second.digest
    assert len(cache.blob_files()) == 1
    assert cache.index.used_bytes() == 4
    cache.evict(first)
    assert cache.body(second) == b"body"
    cache.evict(second)
    assert cache.blob_files() == []
    assert cache.index.used_bytes() == 0


def test_a_validated_head_is_put_in_place(cache: CacheDir) -> None:
    stored = cache.put(URL, b"body")
    fresh = replace(
        stored, head=Head(200, "OK", Headers([("ETag", '"1"'), ("Age", "3")])), response_time=2000
    )
    assert cache.index.freshen(fresh)
    assert cache.stored(URL) == [fresh]


def test_a_late_validation_does_not_touch_another_entry(cache: CacheDir) -> None:
    old = cache.put(URL, b"old")
    cache.index.purge([URL])
    other = cache.put(f"{URL}2", b"other")
    assert other.id != old.id
    assert not cache.index.freshen(old)
    assert cache.stored(f"{URL}2") == [other]


def test_a_late_validation_does_not_touch_another_body(cache: CacheDir) -> None:
    old = cache.put(URL, b"old")
    new = cache.put(URL, b"new")
    assert not cache.index.freshen(old)
    assert cache.stored(URL) == [new]


def test_accesses_and_counters_add_up(cache: CacheDir) -> None:
    stored = cache.put(URL, b"body")
    cache.index.touch({stored.id: (5e9, 2), 4711: (5e9, 1)}, {"hit": 2})
    cache.index.touch({stored.id: (4e9, 1)}, {"hit": 1, "miss": 1})
    (access,) = cache.listing.walk()
    assert (access.entry, access.accessed, access.hits) == (stored, 5e9, 3)
    assert cache.index.counters() == {"hit": 3, "miss": 1}


def test_usage_counts_blobs_once(cache: CacheDir) -> None:
    cache.put(URL, b"body")
    cache.put(f"{URL}2", b"body")
    cache.put(f"{URL}3", b"other")
    usage = cache.index.usage()
    assert (usage.entries, usage.blobs, usage.bytes) == (3, 2, 9)


def test_a_damaged_blob_goes_with_all_that_names_it(cache: CacheDir) -> None:
    cache.put(URL, b"body")
    stored = cache.put(f"{URL}2", b"body")
    assert cache.blob_rows.drop_blob(stored.digest, cache.blobs) == 2
    assert cache.index.usage().blobs == 0
    assert cache.blob_files() == []


def test_the_instance_keeps_its_name(cache: CacheDir) -> None:
    assert cache.index.instance() == cache.index.instance() != ""
