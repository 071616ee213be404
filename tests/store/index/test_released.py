"""Blobs that no entry names any more: which of them go, and what two collectors leave to each other."""

from collections.abc import Callable

import pytest
from cachedir import URL, CacheDir
from older_index import bring_back_to_5

from pyproxycache.messages import Entry

pytestmark = pytest.mark.in_files


@pytest.fixture
def between(cache: CacheDir, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something done behind the first transaction of what runs next."""

    def have_done(work: Callable[[], object]) -> None:
        def settle() -> None:
            monkeypatch.setattr(cache.database, "settle", lambda: None)
            work()

        monkeypatch.setattr(cache.database, "settle", settle)

    return have_done


MANY = 30
"""Bodies, more than one transaction begins with."""


def put_many(cache: CacheDir) -> None:
    for number in range(MANY):
        cache.put(f"{URL}{number}", b"%d" % number)


def drop_unnamed(cache: CacheDir) -> int:
    return cache.removals.drop_unnamed(cache.blobs)


def test_all_of_many_go_and_what_others_name_stays(cache: CacheDir) -> None:
    for number in range(300):
        cache.put(f"{URL}/{number}", b"%d" % (number % 150))
    cache.index.purge([f"{URL}/{number}" for number in range(200)])
    assert drop_unnamed(cache) == 50
    assert len(cache.blob_files()) == cache.index.usage().blobs == 100
    assert drop_unnamed(cache) == 0
    cache.index.purge_matching()
    assert drop_unnamed(cache) == 100
    assert cache.blob_files() == []


def test_what_is_released_behind_another_collector_is_not_lost(
    cache: CacheDir, between: Callable[[Callable[[], object]], None]
) -> None:
    put_many(cache)
    cache.index.purge_matching()

    def release_again() -> None:
        assert 0 < drop_unnamed(cache) < MANY
        put_many(cache)
        cache.index.purge_matching()

    between(release_again)
    drop_unnamed(cache)
    drop_unnamed(cache)
    assert cache.blob_files() == []
    assert cache.index.usage().blobs == 0


def test_what_is_named_again_meanwhile_stays(
    cache: CacheDir, between: Callable[[Callable[[], object]], None]
) -> None:
    put_many(cache)
    cache.index.purge_matching()
    between(lambda: put_many(cache))
    drop_unnamed(cache)
    assert [cache.body(one) for number in range(MANY) for one in cache.stored(f"{URL}{number}")] == [
        b"%d" % number for number in range(MANY)
    ]


_PLACES = "SELECT (SELECT count(*) FROM accesses), (SELECT count(*) FROM priorities)"
_SHARERS = "SELECT count(*) FROM sharers"


def test_places_of_what_was_removed_go_with_the_blobs(cache: CacheDir) -> None:
    for number in range(6):
        cache.put(f"{URL}/{number}", b"%d" % number)
    cache.index.touch({stored.id: (2e9, 2) for stored in cache.stored(f"{URL}/5")}, {})
    cache.index.purge([f"{URL}/{number}" for number in (1, 5)])
    # Nobody finds them meanwhile.
    left = [f"{URL}/{number}" for number in (0, 2, 3, 4)]
    assert cache.keys() == left
    assert [one.key for one in cache.listing.urls()] == left
    assert len(cache.removals.unused(1e10, None, 10)) == len(cache.removals.least_worth(0.0, None, 10)) == 4
    assert cache.blob_rows.last_used(1.0, 3e9).keys() == {
        stored.digest for key in left for stored in cache.stored(key)
    }
    drop_unnamed(cache)
    assert cache.database.select(_PLACES) == [(4, 4)]
    assert cache.keys() == left


def _replaced(cache: CacheDir) -> Entry:
    return cache.put(URL, b"another")


def _replaced_and_back(cache: CacheDir) -> Entry:
    cache.put(URL, b"another")
    return cache.put(URL, b"body")


def _purged_and_fetched_again(cache: CacheDir) -> Entry:
    cache.index.purge([URL])
    return cache.put(URL, b"body")


def _tidied_between(cache: CacheDir) -> Entry:
    cache.index.purge([URL])
    drop_unnamed(cache)
    return cache.put(URL, b"body")


@pytest.mark.parametrize(
    "change", [_replaced, _replaced_and_back, _purged_and_fetched_again, _tidied_between]
)
@pytest.mark.parametrize("others", [0, 1, 2])
def test_a_blob_stays_as_long_as_an_entry_names_it(
    cache: CacheDir, change: Callable[[CacheDir], Entry], others: int
) -> None:
    """However often the entries that name it were other ones: the first one, or further ones, or none."""
    for number in range(others):
        cache.put(f"{URL}/{number}", b"body")
    cache.put(URL, b"body")
    stored = change(cache)
    drop_unnamed(cache)
    assert cache.body(stored) == (b"another" if change is _replaced else b"body")
    for number in range(others):
        assert cache.listing.urls_of(cache.stored(f"{URL}/{number}")[0].digest)
        (one,) = cache.stored(f"{URL}/{number}")
        assert cache.body(one) == b"body"
        cache.index.forget(one)
        drop_unnamed(cache)
    assert cache.body(stored) == (b"another" if change is _replaced else b"body")
    cache.index.purge([URL])
    drop_unnamed(cache)
    assert cache.blob_files() == []
    assert cache.database.select(_SHARERS) == [(0,)]
    assert cache.index.usage().blobs == 0


def test_an_index_with_other_indexes_keeps_what_it_has(cache: CacheDir) -> None:
    for number in range(5):
        cache.put(f"{URL}/{number}", b"%d" % (number % 3), at=1000.0 + number)
    cache.index.purge([f"{URL}/2"])
    bring_back_to_5(cache)
    after = CacheDir(cache.path)
    assert after.keys() == [f"{URL}/{number}" for number in (0, 1, 3, 4)]
    assert [len(after.listing.urls_of(digest)) for digest, _size in after.blob_rows.blobs()].count(2) == 2
    assert after.database.select(_SHARERS) == [(4,)]
    assert drop_unnamed(after) == 1
    after.evict(*after.stored(f"{URL}/0"), *after.stored(f"{URL}/3"))
    assert after.keys() == [f"{URL}/1", f"{URL}/4"]
    assert drop_unnamed(after) == 0
    assert after.index.usage().blobs == len(after.blob_files()) == 1
    after.close()
