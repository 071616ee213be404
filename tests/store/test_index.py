"""Entries: what is found, what a purge forgets, and what a late writer must not touch."""

import os
from dataclasses import replace

import pytest
from cachedir import URL, CacheDir, entry, whole

from pyproxycache.messages import Head, Headers
from pyproxycache.store.claims import NotStorable, Won


def claim(cache: CacheDir, key: str) -> Won:
    won = cache.claims.claim(key, os.urandom(8).hex(), 1000.0)
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
    stored = cache.claims.store(won.claim, given, b"body")
    assert stored is not None
    assert cache.stored(URL) == [stored] == [replace(given, id=stored.id)]
    assert cache.body(stored) == b"body"


def test_the_same_variant_is_replaced(cache: CacheDir) -> None:
    first = cache.put(URL, b"old", etag='"1"')
    second = cache.put(URL, b"new", etag='"2"')
    assert cache.stored(URL) == [second]
    assert second.id == first.id
    assert cache.body(second) == b"new"


def test_two_urls_with_the_same_bytes_keep_one_blob(cache: CacheDir) -> None:
    first, second = cache.put(URL, b"body"), cache.put(f"{URL}2", b"body")
    assert first.digest == second.digest
    assert len(cache.blob_files()) == 1
    assert cache.index.used_bytes() == 4
    cache.index.evict([first.id], cache.blobs.remove)
    assert cache.body(second) == b"body"
    cache.index.evict([second.id], cache.blobs.remove)
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


def test_a_purge_forgets_entries_downloads_and_refusals(cache: CacheDir) -> None:
    cache.put(URL, b"body")
    kept = cache.put(f"{URL}b", b"body")
    variant, another = f'{URL} ["gzip"]', f'{URL} ["br"]'
    asking, (growing, file) = claim(cache, variant), cache.open_file(claim(cache, another), entry())
    other = claim(cache, f"{URL}c")
    cache.claims.finish(claim(cache, URL).claim, not_storable_until=5000.0)
    assert isinstance(cache.claims.claim(URL, "t", 1000.0), NotStorable)
    assert cache.index.purge([URL]) == 1
    assert cache.stored(URL) == []
    for purged in (asking.claim, growing):
        assert not cache.claims.is_current(purged)
        assert cache.claims.leader(purged.key) is None
    assert cache.claims.is_current(other.claim)
    assert isinstance(cache.claims.claim(URL, "t", 1000.0), Won)
    assert cache.claims.store(asking.claim, whole(entry(), b"purged"), b"purged") is None
    file.write(b"purged")
    assert cache.claims.store(growing, whole(entry(), b"purged"), file) is None
    assert cache.stored(URL) == []
    assert cache.stored(f"{URL}b") == [kept]


KNOWN = [
    "http://a.example/1.deb",
    "http://a.example/2.txt",
    "http://b.example/3.deb",
    "http://b.example/4.deb",
]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({}, [0, 1, 2, 3]),
        ({"prefix": "http://b"}, [2, 3]),
        ({"pattern": "*.deb"}, [0, 2, 3]),
        ({"pattern": "http://?.example/[12]*"}, [0, 1]),
        ({"prefix": "*"}, []),
    ],
)
def test_keys_to_purge(cache: CacheDir, choice: dict[str, str], found: list[int]) -> None:
    cache.put(KNOWN[0], b"entry")
    cache.put(KNOWN[1], b"entry")
    running, _file = cache.open_file(claim(cache, f'{KNOWN[2]} ["gzip"]'), entry())
    cache.claims.finish(claim(cache, f'{KNOWN[3]} ["gzip"]').claim, not_storable_until=5000.0)
    assert cache.index.keys(**choice) == [KNOWN[number] for number in found]
    assert cache.claims.running() == [(running.key, 1000.0)]


def test_accesses_and_counters_add_up(cache: CacheDir) -> None:
    stored = cache.put(URL, b"body")
    cache.index.touch({stored.id: (5e9, 2), 4711: (5e9, 1)}, {"hit": 2})
    cache.index.touch({stored.id: (4e9, 1)}, {"hit": 1, "miss": 1})
    (access,) = cache.index.walk()
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
    assert cache.index.drop_blob(stored.digest, cache.blobs.remove) == 2
    assert cache.index.usage().blobs == 0
    assert cache.blob_files() == []


def test_the_instance_keeps_its_name(cache: CacheDir) -> None:
    assert cache.index.instance() == cache.index.instance() != ""
