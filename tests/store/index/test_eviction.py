"""Which entries go first: what was never asked for again, what is large, what was popular long ago."""

from dataclasses import replace

import pytest
from cachedir import CacheDir, entry, whole

from pyproxycache.messages import Entry
from pyproxycache.store.sqlite.priority import worth
from pyproxycache.store.upkeep.space import Collected

pytestmark = pytest.mark.in_files

KB = 4096
ORIGIN = "http://origin.example"


def put(cache: CacheDir, name: object, size: int = KB, at: float = 1000.0) -> Entry:
    """An entry by rows alone, stored at that time."""
    made = replace(whole(entry(f"{ORIGIN}/{name}", at=at), str(name).encode()), size=size)
    cache.insert_as_it_is(made)
    (found,) = cache.stored(made.key)
    return found


def hit(cache: CacheDir, stored: Entry, times: int = 1, at: float = 2000.0) -> None:
    cache.index.touch({stored.id: (at, times)}, {})


def names(cache: CacheDir) -> list[str]:
    return [key.removeprefix(f"{ORIGIN}/") for key in sorted(cache.keys())]


def ghosts(cache: CacheDir) -> int:
    ((count,),) = cache.database.select("SELECT count(*) FROM ghosts")
    return int(count)


def test_a_scan_pushes_out_nothing_that_is_asked_for(cache: CacheDir) -> None:
    popular = [put(cache, f"popular {number}") for number in range(50)]
    for one in popular:
        hit(cache, one, times=3)
    space = cache.space(max_size=100 * KB)
    for number in range(300):
        put(cache, f"scanned {number}", at=3000.0 + number)  # each used later than any that is popular
        if space.needs_collecting():
            space.collect()
    assert {name for name in names(cache) if name.startswith("popular")} == {
        f"popular {number}" for number in range(50)
    }


def test_what_was_popular_long_ago_goes_in_the_end(cache: CacheDir) -> None:
    hit(cache, put(cache, "old"), times=100)
    space = cache.space(max_size=20 * KB)
    for number in range(1000):
        put(cache, number, at=3000.0 + number)
        if space.needs_collecting():
            space.collect()
        if "old" not in names(cache):
            break
    assert 100 < number < 999


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"size": 2 * KB}, {"size": KB}),
        ({"at": 1000.0}, {"at": 1001.0}),
        ({"hits": 0}, {"hits": 1}),
        ({"hits": 1, "at": 9000.0}, {"hits": 2, "at": 1000.0}),
        ({"hits": 3, "at": 1000.0}, {"hits": 300, "at": 1001.0}),
        ({"hits": 3, "at": 1001.0, "size": 2 * KB}, {"hits": 300, "at": 1000.0}),
    ],
    ids=["larger", "used before", "not used", "used less", "used often enough", "all the same larger"],
)
def test_the_order(cache: CacheDir, first: dict[str, float], second: dict[str, float]) -> None:
    for name, given in {"second": second, "first": first}.items():
        at = given.get("at", 1000.0)
        stored = put(cache, name, int(given.get("size", KB)), at)
        if given.get("hits"):
            hit(cache, stored, int(given["hits"]), at)
    (gone,) = cache.removals.least_worth(0.0, None, 1)
    assert gone.id == cache.stored(f"{ORIGIN}/first")[0].id


def test_what_comes_back_is_worth_more_than_what_is_new(cache: CacheDir) -> None:
    put(cache, "back", size=2 * KB)
    other = put(cache, "other")
    cache.space(max_size=2 * KB).collect()
    assert names(cache) == ["other"]
    back, new = put(cache, "back", at=1000.0), put(cache, "new", at=2000.0)
    assert [one.id for one in cache.removals.least_worth(0.0, None, 3)] == [other.id, new.id, back.id]


def test_a_new_body_has_the_uses_of_the_one_before_and_one_more(cache: CacheDir) -> None:
    stored = put(cache, "changes")
    hit(cache, stored)
    other = put(cache, "other")
    hit(cache, other, at=9000.0)
    stored = put(cache, "changes", at=3000.0)
    assert [one.id for one in cache.removals.least_worth(0.0, None, 2)] == [other.id, stored.id]


def test_the_age_of_the_cache_is_the_highest_priority_that_went(cache: CacheDir) -> None:
    hit(cache, put(cache, "used"), times=2)
    put(cache, "new")
    cache.space(max_size=0).collect()
    ((age,),) = cache.database.select("SELECT age FROM usage")
    assert age == pytest.approx(worth(2, KB), rel=0.01)
    put(cache, "next")
    (candidate,) = cache.removals.least_worth(0.0, None, 1)
    assert candidate.priority == pytest.approx(age + worth(0, KB), rel=0.01)


def test_neither_a_purge_nor_long_disuse_leaves_a_ghost(cache: CacheDir) -> None:
    for number in range(10):
        put(cache, number)
    cache.index.purge([f"{ORIGIN}/{number}" for number in range(5)])
    assert cache.space(unused=-10.0).collect() == Collected(5, 5 * KB)
    assert ghosts(cache) == 0
    put(cache, "evicted")
    cache.space(max_size=0).collect()
    assert ghosts(cache) == 0  # there are as many as there are blobs


def test_there_are_as_many_ghosts_as_blobs(cache: CacheDir) -> None:
    for number in range(2000):
        put(cache, number, at=float(number))
    cache.space(max_size=1500 * KB).collect()
    blobs = cache.index.usage().blobs
    assert 1100 < blobs <= 1350  # the rows take some of the room
    assert ghosts(cache) == 2000 - blobs
    cache.space(max_size=100 * KB).collect()
    assert 70 < cache.index.usage().blobs <= 90
    assert ghosts(cache) == cache.index.usage().blobs
    # The newest of them.
    put(cache, 0)
    put(cache, 1909)
    ((first, last),) = cache.database.select(
        "SELECT (SELECT uses FROM entries WHERE key = ?), (SELECT uses FROM entries WHERE key = ?)",
        (f"{ORIGIN}/0", f"{ORIGIN}/1909"),
    )
    assert (first, last) == (0, 1)


def test_a_dry_run_counts_what_is_unused_and_what_is_worth_least_as_they_go(cache: CacheDir) -> None:
    """Bodies of several entries, some unused, some not: the bytes count once, with the last of them."""
    for number in range(600):
        stored = put(cache, number, size=KB + number)
        hit(cache, stored, times=1 + number % 3, at=5e9 if number % 4 else 5.0)
        shared = replace(stored, key=f"{stored.key}/shared", id=0)
        cache.insert_as_it_is(shared)
        if number % 5 == 0:
            hit(cache, cache.stored(shared.key)[0], at=5e9)
    before = cache.index.usage()
    options = {"max_size": before.bytes // 2, "unused": 86400.0}
    said = cache.space(**options).collect(dry_run=True)
    assert cache.index.usage() == before
    collected = cache.space(**options).collect()
    after = cache.index.usage()
    assert collected == Collected(before.entries - after.entries, before.bytes - after.bytes)
    # What the rows take is only estimated.
    assert said is not None
    assert said.bytes == pytest.approx(collected.bytes, rel=0.3)
    assert 0 < after.bytes <= before.bytes * 0.45
