"""What goes when there is too much, and what stays."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cachedir import CacheDir
from storeprocess import StoreProcess

from pyproxycache.errors import NoSpace, StoreError
from pyproxycache.options import Share, StoreOptions
from pyproxycache.store.upkeep.space import Collected

pytestmark = pytest.mark.in_files

KB = 4096


def fill(cache: CacheDir, count: int, size: int = KB) -> list[str]:
    """Entries of distinct bodies, the first used longest ago; their keys."""
    keys = [f"http://origin.example/{number}" for number in range(count)]
    for number, key in enumerate(keys):
        stored = cache.put(key, number.to_bytes(4, "big") * (size // 4))
        cache.index.touch({stored.id: (5e9 + number, 1)}, {})
    return keys


@pytest.mark.parametrize(("count", "left"), [(95, 95), (96, 90), (100, 90), (700, 90)])
def test_the_least_recently_used_go_down_to_90_percent(cache: CacheDir, count: int, left: int) -> None:
    stored = fill(cache, count)
    space = cache.space(max_size=100 * KB)
    assert space.needs_collecting() is (count > 95)
    assert space.collect() == Collected(count - left, (count - left) * KB)
    assert cache.keys() == stored[count - left :]
    assert len(cache.blob_files()) == left
    assert not space.needs_collecting()


def test_who_reads_the_index_without_end_does_not_fill_the_disk_with_its_log(tmp_path: Path) -> None:
    """An operator's shell, or a backup: what it sees has to stay in the log, which goes on growing."""
    most = 64 << 10
    cache = CacheDir(tmp_path / "cache", most_log=most)
    space, log = cache.space(), cache.database.log_path
    other = sqlite3.connect(cache.database.path, isolation_level=None)

    def store_while_admitted(limit: int) -> int:
        for number in range(limit):
            try:
                assert space.why_not_admitted(KB) is None
            except StoreError as error:
                return number if "without end" in str(error) else -1
            cache.put(f"http://origin.example/{number}", os.urandom(KB))
        return limit

    assert store_while_admitted(500) == 500
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM entries").fetchone()
    assert 0 < store_while_admitted(500) < 500
    assert log.stat().st_size < 20 * most
    assert cache.keys()
    other.execute("COMMIT")
    other.close()
    cache.index.touch({}, {"requests": 1})  # as each worker does every other second
    cache.index.touch({}, {"requests": 1})
    assert store_while_admitted(500) == 500
    cache.close()


def test_a_dry_run_says_the_same_and_removes_nothing(cache: CacheDir) -> None:
    size = 16 * KB
    stored = fill(cache, 300, size)
    said: list[Collected] = []
    would = cache.space(max_size=50 * size).collect(dry_run=True, progress=said.append)
    assert cache.keys() == stored
    assert len(cache.blob_files()) == 300
    assert said[-1] == would
    assert would is not None
    # What a row takes is only estimated.
    assert would.entries == pytest.approx(255, rel=0.05)
    assert cache.space(max_size=50 * size).collect() == Collected(255, 255 * size)


def test_what_was_replaced_goes_before_what_is_stored(cache: CacheDir) -> None:
    cache.put("http://origin.example/1", bytes(60 * KB))
    stored = cache.put("http://origin.example/1", bytes(50 * KB))
    space = cache.space(max_size=100 * KB)
    assert space.needs_collecting()
    assert space.collect() == Collected()
    assert cache.stored(stored.key) == [stored]
    assert cache.index.used_bytes() == 50 * KB


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_blob_counts_when_its_last_entry_goes(cache: CacheDir, dry_run: bool) -> None:
    body = bytes(60 * KB)
    first, second = cache.put("http://origin.example/1", body), cache.put("http://origin.example/2", body)
    third = cache.put("http://origin.example/3", bytes(50 * KB))
    cache.index.touch({one.id: (5e9 + one.id, 1) for one in (first, second, third)}, {})
    collected = cache.space(max_size=100 * KB).collect(dry_run=dry_run)
    assert collected == Collected(2, 60 * KB)
    assert len(cache.keys()) == (3 if dry_run else 1)


def test_what_is_unused_goes_even_with_room(cache: CacheDir) -> None:
    stored = cache.put("http://origin.example/old", b"old")
    kept = cache.put("http://origin.example/new", b"new")
    cache.index.touch({kept.id: (5e9, 1)}, {})
    assert cache.space(max_size=100 * KB, unused=-10.0).collect() == Collected(1, 3)
    assert cache.stored(stored.key) == []
    assert cache.body(kept) == b"new"


def test_being_read_stays_readable(cache: CacheDir) -> None:
    stored = cache.put("http://origin.example/a", b"body")
    fd = cache.blobs.open(stored.digest, stored.size)
    assert cache.space(max_size=0).collect() == Collected(1, 4)
    assert cache.blob_files() == []
    with os.fdopen(fd, "rb") as file:
        assert file.read() == b"body"
    with pytest.raises(FileNotFoundError):
        cache.blobs.open(stored.digest, stored.size)


def test_one_collects_at_a_time(cache: CacheDir, make_process: Callable[..., StoreProcess]) -> None:
    other = make_process()
    asked: list[bool] = []
    cache.put("http://origin.example/a", b"body")
    cache.space(max_size=0).collect(progress=lambda _: asked.append(other.call("collect", 0)))
    assert asked == [False]
    assert other.call("collect", 0)


def test_a_collector_that_does_not_get_on_holds_up_nobody(cache: CacheDir) -> None:
    fill(cache, 10)
    space = cache.space(max_size=2 * KB)
    with (cache.path / "collect.lock").open("w") as lock:  # as of a command that was suspended
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert space.collect() is None
        with pytest.raises(StoreError, match="another process has had"):
            space.collect(wait=0.01)
        # From here on nobody waits at all.
        with pytest.raises(StoreError):
            space.allow(0, 100)
    end = time.monotonic() + 30
    while space.collect() is None:  # until the thread that waited has had it
        assert time.monotonic() < end
    assert cache.index.usage().entries < 10


@pytest.mark.parametrize(
    ("size", "max_object", "why_not"),
    [(90, None, None), (91, None, "size"), (50, 50, None), (51, 50, "size")],
)
def test_how_large_an_object_may_be(
    cache: CacheDir, size: int, max_object: int | None, why_not: str | None
) -> None:
    share = None if max_object is None else Share(size=max_object)
    options = StoreOptions(path=cache.path, max_size=100, max_object=share, reserve=Share())
    assert cache.space_by(options).why_not_admitted(size) == why_not


def test_the_disks_reserve_is_kept(cache: CacheDir) -> None:
    cache.put("http://origin.example/a", b"body")
    disk = cache.blobs.disk().size
    options = StoreOptions(path=cache.path, max_size=None, reserve=Share(size=disk))
    space = cache.space_by(options)
    assert space.needs_collecting()
    assert space.why_not_admitted(1) == "size"
    assert cache.keys() == ["http://origin.example/a"]  # nothing goes for what would not fit then either
    space.collect()
    assert cache.keys() == []


def test_collecting_goes_on_after_a_full_disk(cache: CacheDir) -> None:
    fill(cache, 20)
    cache.fill_up()
    with pytest.raises(NoSpace), cache.database.write() as db:
        db.execute("INSERT INTO facts VALUES ('long', ?)", ("x" * 1_000_000,))
    assert cache.space(max_size=10 * KB).collect() == Collected(11, 11 * KB)
