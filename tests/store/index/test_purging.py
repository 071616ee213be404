"""Purges: what they forget, what may come in while they run, and what may not."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from cachedir import URL, CacheDir, entry, whole

from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight_rows import Won
from pyproxycache.store.ports import NotStorable

ORIGIN = "http://origin.example"


def claim(cache: CacheDir, key: FlightKey) -> Won:
    won = cache.claims.claim(key, os.urandom(8).hex(), 1000.0)
    assert isinstance(won, Won)
    return won


def test_a_purge_forgets_entries_downloads_and_refusals(cache: CacheDir) -> None:
    cache.put(URL, b"body")
    kept = cache.put(f"{URL}b", b"body")
    variant, another = [FlightKey(URL, (("accept-encoding", coding),)) for coding in ("gzip", "br")]
    asking, (growing, file) = claim(cache, variant), cache.open_file(claim(cache, another), entry())
    other = claim(cache, FlightKey(f"{URL}c"))
    cache.claims.finish(claim(cache, FlightKey(URL)).claim, not_storable_until=5000.0)
    assert isinstance(cache.claims.claim(FlightKey(URL), "t", 1000.0), NotStorable)
    assert cache.index.purge([URL]) == 1
    assert cache.stored(URL) == []
    for purged in (asking.claim, growing):
        assert not cache.claims.is_current(purged)
        assert cache.claims.leader(purged.key) is None
    assert cache.claims.is_current(other.claim)
    assert isinstance(cache.claims.claim(FlightKey(URL), "t", 1000.0), Won)
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
    "http://b.example/é.deb",
]
CHOICES: list[tuple[dict[str, str], list[int]]] = [
    ({}, [0, 1, 2, 3, 4]),
    ({"prefix": "http://b"}, [2, 3, 4]),
    ({"prefix": "http://b.example/4.deb"}, [3]),
    ({"pattern": "*.deb"}, [0, 2, 3, 4]),
    ({"pattern": "http://?.example/[12]*"}, [0, 1]),
    ({"pattern": "http://a.example/1.deb"}, [0]),
    ({"pattern": "*/[34]*", "prefix": "http://b"}, [2, 3]),
    ({"pattern": "http://b*", "prefix": "http://b.example/"}, [2, 3, 4]),
    ({"pattern": "http://b*", "prefix": "http://a"}, []),
    ({"prefix": "*"}, []),
]


@pytest.mark.parametrize(("choice", "purged"), CHOICES)
def test_entries_that_match_go(cache: CacheDir, choice: dict[str, str], purged: list[int]) -> None:
    cache.insert(entry(key) for key in KNOWN)
    cache.insert(replace(entry(key), vary=(("accept", "x"),)) for key in KNOWN)
    assert cache.index.purge_matching(**choice) == 2 * len(purged)
    kept = {key for number, key in enumerate(KNOWN) if number not in purged}
    assert set(cache.keys()) == kept
    assert cache.index.usage().entries == 2 * len(kept)


@pytest.mark.parametrize(("choice", "purged"), CHOICES)
def test_downloads_and_refusals_that_match_go(
    cache: CacheDir, choice: dict[str, str], purged: list[int]
) -> None:
    variants = [FlightKey(key, (("accept-encoding", "gzip"),)) for key in KNOWN]
    for key in KNOWN:
        cache.claims.finish(claim(cache, FlightKey(key)).claim, not_storable_until=5000.0)
    running = [cache.open_file(claim(cache, key), entry()) for key in variants]
    cache.claims.finish(claim(cache, FlightKey(KNOWN[0], part="bytes=5")).claim, not_storable_until=5000.0)
    assert cache.index.purge_matching(**choice) == 0
    assert [cache.claims.is_current(growing) for growing, _file in running] == [
        number not in purged for number in range(len(KNOWN))
    ]
    refused = [*KNOWN, KNOWN[0]]
    assert cache.refused() == sorted(key for key in refused if KNOWN.index(key) not in purged)


MANY = 30
"""Items of work, more than one transaction begins with."""


class Between:
    """Has something done behind the first transaction of what runs next."""

    def __init__(self, cache: CacheDir, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done = 0
        self.slices = 0
        self._cache, self._monkeypatch = cache, monkeypatch

    def __call__(self, work: Callable[[], object]) -> None:
        def settle() -> None:
            self.slices += 1
            if self.slices == 1:
                work()
                self.done += 1

        self._monkeypatch.setattr(self._cache.database, "settle", settle)


@pytest.fixture
def between(cache: CacheDir, monkeypatch: pytest.MonkeyPatch) -> Between:
    return Between(cache, monkeypatch)


def test_downloads_from_before_are_not_stored_while_it_runs(cache: CacheDir, between: Between) -> None:
    cache.insert(entry(f"{ORIGIN}/{number}") for number in range(3, 3 + MANY))
    small, (growing, file) = (
        claim(cache, FlightKey(f"{ORIGIN}/0")),
        cache.open_file(claim(cache, FlightKey(f"{ORIGIN}/1")), entry()),
    )
    file.write(b"purged")

    def store() -> None:
        for claim, body in ((small.claim, b"purged"), (growing, file)):
            assert cache.claims.store(claim, whole(entry(claim.key.cache_key), b"purged"), body) is None

    between(store)
    assert cache.index.purge_matching(prefix=ORIGIN) == MANY
    assert between.done == 1
    assert cache.keys() == []


def test_what_has_begun_since_may_be_stored_while_it_runs(cache: CacheDir, between: Between) -> None:
    cache.insert(entry(f"{ORIGIN}/{number}") for number in range(3, 3 + MANY))
    # The lock is free between two slices, and what is behind them stays.
    between(lambda: cache.put(f"{ORIGIN}/0", b"new"))
    cache.index.purge_matching(prefix=ORIGIN)
    assert between.done == 1
    assert cache.keys() == [f"{ORIGIN}/0"]


@pytest.mark.parametrize(
    "purge",
    [
        lambda cache: cache.index.purge_matching(prefix=ORIGIN),
        lambda cache: cache.index.purge_group("g", None),
    ],
    ids=["matching", "group"],
)
def test_a_body_is_not_filed_again_behind_it(
    cache: CacheDir, between: Between, purge: Callable[[CacheDir], int]
) -> None:
    def variant(value: str) -> object:
        return replace(whole(entry(URL), URL.encode()), vary=(("accept", value),), groups=("g",))

    cache.insert([variant(f"b{number}") for number in range(MANY)])  # type: ignore[misc]
    between(lambda: cache.index.freshen(variant("a")))  # type: ignore[arg-type]
    purge(cache)
    assert between.done == 1
    assert cache.keys() == []


def test_a_long_purge_gives_way(cache: CacheDir, between: Between) -> None:
    cache.insert(entry(f"{ORIGIN}/{number}") for number in range(700))
    between(lambda: None)
    assert cache.index.purge_matching() == 700
    assert between.slices > 3


def test_all_of_a_long_list_goes(cache: CacheDir) -> None:
    keys = [f"{ORIGIN}/{number}" for number in range(1000)]
    cache.insert(entry(key) for key in keys)
    assert cache.index.purge(keys[:900]) == 900
    assert sorted(cache.keys()) == sorted(keys[900:])


def test_a_purge_forgets_that_a_key_is_not_storable(cache: CacheDir) -> None:
    cache.claims.finish(claim(cache, FlightKey(URL)).claim, not_storable_until=5000.0)
    assert isinstance(cache.claims.claim(FlightKey(URL), "t", 1000.0), NotStorable)
    cache.index.purge_matching(pattern=URL)
    assert isinstance(cache.claims.claim(FlightKey(URL), "t", 1000.0), Won)
