"""What requests note is gathered in memory and written in batches."""

import threading
from collections.abc import Iterator

import pytest
from cachedir import URL, CacheDir

from pyproxycache.store.upkeep.housekeeping import Housekeeper


@pytest.fixture
def housekeeper(cache: CacheDir) -> Iterator[Housekeeper]:
    made = Housekeeper(cache.index, cache.space())
    yield made
    made.close()


def writes(cache: CacheDir) -> int:
    """A number that changes with each transaction that another connection commits."""
    with cache.database.read() as db:
        (found,) = db.execute("PRAGMA data_version").fetchone()
    return int(found)


def test_noting_writes_nothing_and_flushing_writes_once(cache: CacheDir, housekeeper: Housekeeper) -> None:
    stored = cache.put(URL, b"body")
    with cache.database.write():
        # Nobody else can write, so whatever the notes need they do not need the index.
        for number in range(1000):
            housekeeper.note_access(stored.id, 5e9 + number)
            housekeeper.count({"hit": 1, "bytes": 4})
    housekeeper.flush()
    (access,) = cache.listing.walk()
    assert (access.accessed, access.hits) == (5e9 + 999, 1000)
    assert cache.index.counters() == {"hit": 1000, "bytes": 4000}


def test_a_lookup_writes_nothing(cache: CacheDir) -> None:
    stored = cache.put(URL, b"body")
    before = writes(cache)
    for _ in range(10):
        (found,) = cache.stored(URL)
        assert cache.body(found) == b"body"
    assert writes(cache) == before
    assert found == stored


def test_closing_writes_the_rest(cache: CacheDir) -> None:
    housekeeper = Housekeeper(cache.index, cache.space())
    housekeeper.count({"hit": 1})
    housekeeper.close()
    assert cache.index.counters() == {"hit": 1}


def test_a_full_disk_costs_only_the_notes(cache: CacheDir, housekeeper: Housekeeper) -> None:
    cache.fill_up()
    housekeeper.count({f"{number}{'x' * 5000}": 1 for number in range(100)})
    housekeeper.flush()
    assert not any("x" in name for name in cache.index.counters())


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), RuntimeError("anything")], ids=repr)
def test_housekeeping_goes_on_after_any_error_and_shows_it(cache: CacheDir, error: Exception) -> None:
    """One chore that fails at each turn costs neither the others nor what the housekeeper does itself."""
    turns = threading.Semaphore(0)

    def fail() -> None:
        turns.release()
        raise error

    for number in range(4):
        cache.put(f"{URL}/{number}", bytes([number]) * 4096)
    housekeeper = Housekeeper(cache.index, cache.space(max_size=2 * 4096), [fail])
    housekeeper.start()
    try:
        for _ in range(3):
            assert turns.acquire(timeout=60)
    finally:
        housekeeper.close()
    assert len(cache.blob_files()) <= 2
    assert cache.index.counters()["errors.housekeeping"] >= 2
