"""Cache groups (RFC 9875): what a group's purge forgets, and that nothing is left of a group."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from cachedir import CacheDir, asking, entry, whole

from pyproxycache.messages import Entry, Part
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.partial import Partial
from pyproxycache.store.flights.flight_rows import Claim, Won

ORIGIN = "http://origin.example"
GROUPS = {
    f"{ORIGIN}/plain": (),
    f"{ORIGIN}/a": ("a",),
    f"{ORIGIN}/ab": ("a", "b"),
    f"{ORIGIN}/": ("b",),
    f"{ORIGIN}:8080/a": ("a",),
    "https://origin.example/a": ("a",),
    "http://origin.example.net/a/b": ("a", "A", "a b"),
}


def put(cache: CacheDir, key: str, *groups: str, body: bytes = b"body") -> Entry:
    return cache.keep(replace(entry(key), groups=groups), body)


def grouped(cache: CacheDir) -> int:
    """How many rows lead from groups to entries."""
    ((count,),) = cache.database.select("SELECT count(*) FROM entry_groups")
    return int(count)


@pytest.mark.parametrize(
    ("name", "origin", "purged"),
    [
        ("a", ORIGIN, ["/a", "/ab"]),
        ("b", ORIGIN, ["/", "/ab"]),
        ("a", f"{ORIGIN}:8080", [":8080/a"]),
        ("a", None, ["/a", "/ab", ":8080/a", "https", ".net"]),
        ("A", None, [".net"]),
        ("a b", "http://origin.example.net", [".net"]),
        ("a", "http://origin", []),
        ("a", "", []),
        ("", None, []),
        ("%", None, []),
    ],
)
def test_a_group_is_its_origins_own(
    cache: CacheDir, name: str, origin: str | None, purged: list[str]
) -> None:
    for key, groups in GROUPS.items():
        stored = put(cache, key, *groups)
        assert cache.index.lookup(key, asking()) == [stored]
    short = {"https://origin.example/a": "https", "http://origin.example.net/a/b": ".net"}
    gone = [key for key in GROUPS if short.get(key, key.removeprefix(ORIGIN)) in purged]
    assert len(gone) == len(purged)
    assert cache.index.purge_group(name, origin) == len(purged)
    assert [key for key in GROUPS if not cache.index.lookup(key, asking())] == gone


REMOVALS: dict[str, Callable[[CacheDir, Entry], object]] = {
    "evicted": lambda cache, stored: cache.evict(stored),
    "purged": lambda cache, stored: cache.index.purge([stored.key]),
    "its group purged": lambda cache, stored: cache.index.purge_group("b", None),
    "damaged": lambda cache, stored: cache.blob_rows.drop_blob(stored.digest, cache.blobs),
    "forgotten": lambda cache, stored: cache.index.forget(stored),
    "replaced": lambda cache, stored: cache.put(stored.key, b"another"),
    "validated": lambda cache, stored: cache.index.freshen(replace(stored, groups=())),
    "covered": lambda cache, stored: cache.keep(
        replace(entry(stored.key), part=Part(0, 99, None)), b"more of it"
    ),
}


@pytest.mark.parametrize("how", REMOVALS)
def test_no_trace_is_left_of_a_group(cache: CacheDir, how: str) -> None:
    key = f"{ORIGIN}/b"
    other = put(cache, f"{ORIGIN}/other", "a", body=b"other")
    part = Part(0, 3, None) if how == "covered" else None
    stored = cache.keep(replace(entry(key), groups=("a", "b"), part=part), b"body")
    assert grouped(cache) == 3
    REMOVALS[how](cache, stored)
    assert grouped(cache) == 1
    assert cache.index.purge_group("b", None) == 0
    assert cache.index.purge_group("a", None) == 1
    assert cache.stored(other.key) == []


def test_a_validated_head_brings_its_groups(cache: CacheDir) -> None:
    stored = put(cache, f"{ORIGIN}/x", "old")
    assert cache.index.freshen(replace(stored, groups=("new", "newer")))
    assert not cache.index.freshen(replace(stored, id=stored.id + 1, groups=("none",)))
    assert [cache.index.purge_group(name, ORIGIN) for name in ("old", "none", "newer")] == [0, 0, 1]


def test_a_group_named_twice_counts_once(cache: CacheDir) -> None:
    put(cache, f"{ORIGIN}/x", "a", "a")
    assert cache.index.purge_group("a", ORIGIN) == 1


def downloading(cache: CacheDir, key: str, *groups: str) -> tuple[Claim, Partial, Entry]:
    """A download whose head is recorded."""
    won = cache.claims.claim(FlightKey(key), os.urandom(8).hex(), 1000.0)
    assert isinstance(won, Won)
    head = replace(entry(key.partition(" ")[0]), groups=groups)
    claim, file = cache.open_file(won, head)
    file.write(b"body")
    return claim, file, whole(head, b"body")


@pytest.mark.parametrize("origin", [None, ORIGIN])
def test_what_runs_while_its_group_is_purged_is_not_stored(cache: CacheDir, origin: str | None) -> None:
    begun = cache.claims.claim(FlightKey(f"{ORIGIN}/begun"), "t", 1000.0)
    assert isinstance(begun, Won)
    flights = {
        f"{ORIGIN}/a": ("a", "b"),
        f'{ORIGIN}/vary [["accept", "a b"]]': ("b",),
        f"{ORIGIN}/other": ("c",),
        f"{ORIGIN}/none": (),
        f"{ORIGIN}.net/b": ("b",),
    }
    running = {key: downloading(cache, key, *groups) for key, groups in flights.items()}
    assert cache.index.purge_group("b", origin) == 0
    stored = {key for key, (claim, file, head) in running.items() if cache.claims.store(claim, head, file)}
    spared = {f"{ORIGIN}.net/b"} if origin else set()
    assert stored == {f"{ORIGIN}/other", f"{ORIGIN}/none"} | spared
    assert cache.claims.is_current(begun.claim)
    for key in running.keys() - stored:  # which are free for others
        assert isinstance(cache.claims.claim(FlightKey(key), "next", 1000.0), Won)
