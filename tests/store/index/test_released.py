"""Blobs that no entry names any more: which of them go, and what two collectors leave to each other."""

from collections.abc import Callable

import pytest
from cachedir import URL, CacheDir

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
    return cache.index.drop_unnamed(cache.blobs.remove)


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
