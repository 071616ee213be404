"""A damaged index: what is found in it, what becomes of it, and that nothing of it is given out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cachedir import URL, CacheDir, asking, entry

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.options import StoreOptions
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.blobs import Damaged
from pyproxycache.store.upkeep.fsck import Problem
from pyproxycache.store.upkeep.store_watch import StoreWatch
from pyproxycache.wiring.stored import mend_store, open_store


def options(folder: Path) -> StoreOptions:
    return StoreOptions(path=folder)


def garbage(folder: Path) -> None:
    (folder / "index.sqlite").write_bytes(os.urandom(100_000))
    (folder / "index.sqlite-wal").unlink(missing_ok=True)


def no_database(folder: Path) -> None:
    (folder / "index.sqlite").write_text("This is not a database. " * 1000)
    (folder / "index.sqlite-wal").unlink(missing_ok=True)


def pages_of_zeros(folder: Path) -> None:
    with (folder / "index.sqlite").open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(bytes(size - 4096))


def fill(folder: Path) -> None:
    cache = CacheDir(folder)
    for number in range(50):
        cache.put(f"{URL}/{number}", b"body %d" % number)
    cache.close()


@pytest.mark.parametrize("harm", [garbage, no_database, pages_of_zeros])
def test_a_damaged_index_is_set_aside_and_a_new_one_made(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    folder = tmp_path / "cache"
    for _ in range(2):  # of which one is kept
        fill(folder)
        harm(folder)
        mended = open_store(options(folder))
        try:
            found = mended.index.lookup(f"{URL}/1", lambda names: tuple((name, None) for name in names))
        except StoreError:  # it shows once it is read
            mended.database.set_aside_if_damaged()
            mended = open_store(options(folder))
            found = []
        assert found == []
        assert mended.index.usage().entries == 0
        # Bodies that nothing names any more are no part of the cache, and go.
        assert list((folder / "blobs").iterdir()) == []
        mended.blobs.remove_discarded()
        mended.database.close()
    names = sorted(path.name for path in folder.iterdir())
    assert "index.sqlite.damaged" in names
    assert not any(name.startswith("discarded") for name in names)
    assert len([name for name in names if name.startswith("index.sqlite.damaged")]) <= 2


@pytest.mark.parametrize("column", ["headers", "variant", "vary"])
def test_a_row_that_is_none_of_ours_is_damage(cache: CacheDir, column: str) -> None:
    stored = cache.put(URL, b"body")
    with cache.database.write() as db:
        db.execute("UPDATE entries SET vary = 'x', variant = '[]' WHERE id = ?", (stored.id,))
        db.execute(f"UPDATE entries SET {column} = 'gar\x01bage' WHERE id = ?", (stored.id,))
    with pytest.raises(StoreError):
        cache.listing.accesses(URL)
    with pytest.raises(StoreError):
        cache.index.lookup(URL, lambda names: tuple((name, None) for name in names))
    assert "damaged" in cache.database.damage
    # From here on nothing of it is given out.
    with pytest.raises(StoreError, match="damaged"):
        cache.index.usage()


# One flipped bit makes a text of bytes and bytes of a text, and other types of numbers.
@pytest.mark.parametrize(
    "value",
    [
        "status = 'x'",
        "status = 16777416",
        "reason = 'Merry' || char(13)",
        "response_time = 'never'",
        "size = -1",
        "size = CAST(size AS BLOB)",
        "digest = CAST(digest AS BLOB)",
        "digest = 'x' || digest",
        "peer = '12w.0.0.1'",
        "peer = CAST('127.0.0.1' AS BLOB)",
        "first_pos = x'00'",
        "groups = '[1]'",
        "headers = '[[1, 2]]'",
    ],
)
def test_so_is_one_with_other_values_than_are_written(cache: CacheDir, value: str) -> None:
    stored = cache.put(URL, b"body")
    with cache.database.write() as db:
        db.execute(f"UPDATE entries SET {value} WHERE id = ?", (stored.id,))
    with pytest.raises(StoreError, match="none of ours"):
        cache.index.lookup(URL, asking())
    assert "damaged" in cache.database.damage


@pytest.mark.parametrize(
    ("harm", "look"),
    [
        ("DELETE FROM usage", lambda cache: cache.index.usage()),
        ("UPDATE usage SET allocated = 'x'", lambda cache: cache.removals.footprint()),
        ("INSERT INTO counters VALUES ('a', 'x')", lambda cache: cache.index.counters()),
        ("UPDATE blobs SET digest = CAST(digest AS BLOB)", lambda cache: list(cache.blob_rows.blobs())),
        ("UPDATE blobs SET size = x'00'", lambda cache: cache.blob_rows.next_blob("")),
        (
            "INSERT INTO released (digest) VALUES (x'00')",
            lambda cache: cache.removals.drop_unnamed(cache.blobs),
        ),
        (
            "UPDATE entries SET headers = CAST(x'ff' AS TEXT)",
            lambda cache: cache.index.lookup(URL, asking()),
        ),
        ("DROP TABLE sharers", lambda cache: cache.blob_rows.drop_blob("", cache.blobs)),
    ],
)
def test_so_is_what_is_beside_the_entries(
    cache: CacheDir, harm: str, look: Callable[[CacheDir], object]
) -> None:
    cache.put(URL, b"body")
    with cache.database.write() as db:
        db.execute(harm)
    with pytest.raises(StoreError):
        look(cache)
    assert "damaged" in cache.database.damage


def test_so_is_a_schema_that_cannot_even_be_quoted(tmp_path: Path) -> None:
    fill(tmp_path)
    index = tmp_path / "index.sqlite"
    found = bytearray(index.read_bytes())
    found[found.index(b"NULL", found.index(b"CREATE TABLE not_storable"))] |= 0x80
    index.write_bytes(found)
    mended = open_store(options(tmp_path))
    assert mended.index.usage().entries == 0
    mended.database.close()


@pytest.mark.parametrize(
    "harm", ["DELETE FROM usage", "INSERT INTO released (digest) VALUES (x'00')", "DROP TABLE released"]
)
def test_damage_that_a_start_meets_late_keeps_no_server_from_starting(tmp_path: Path, harm: str) -> None:
    fill(tmp_path)
    cache = CacheDir(tmp_path)
    with cache.database.write() as db:
        db.execute(harm)
    cache.close()
    mend_store(options(tmp_path))
    mended = open_store(options(tmp_path))
    assert mended.index.usage().entries == 0
    mended.database.close()


@pytest.mark.parametrize("content", ["CAST(content AS TEXT)", "5"])
def test_a_body_that_is_no_bytes_is_fetched_again(cache: CacheDir, content: str) -> None:
    stored = cache.put(URL, b"body")
    with cache.database.write() as db:
        db.execute(f"UPDATE small_bodies SET content = {content}")
    problems = [found.problem for found in cache.fsck.check() if found is not None]
    assert problems == [Problem.SIZE]
    with pytest.raises(Damaged):
        cache.bodies.read_verified(stored.digest, stored.size, 0, stored.size)
    assert not cache.database.damage


@pytest.mark.parametrize("garbage", ["gar\x01bage", "[1]", "{}"])
@pytest.mark.parametrize(
    "look",
    [
        lambda cache: cache.claims.recorded(URL),
        lambda cache: cache.claims.claim(FlightKey(URL), "token", 0.0),
        lambda cache: cache.claims.leader(FlightKey(URL)),
    ],
    ids=["recorded", "claim", "leader"],
)
def test_so_is_a_download_of_which_nobody_can_tell(
    cache: CacheDir, look: Callable[[CacheDir], object], garbage: str
) -> None:
    writer = cache.lead()
    writer.begin(entry(), None)
    with cache.database.write() as db:
        db.execute("UPDATE flights SET entry = ?", (garbage,))
    with pytest.raises(StoreError):
        look(cache)
    assert "damaged" in cache.database.damage


def test_so_is_a_flight_key_that_is_none(cache: CacheDir) -> None:
    cache.lead().begin(entry(), None)
    with cache.database.write() as db:
        db.execute("UPDATE flights SET variant = 'garbage'")
    with pytest.raises(StoreError, match="none of ours"):
        cache.claims.recorded(URL)
    assert "damaged" in cache.database.damage


def test_one_of_many_sets_it_aside(cache: CacheDir) -> None:
    workers = [CacheDir(cache.path) for _ in range(3)]
    for worker in workers:
        worker.index.usage()
        worker.database.damage = "damaged"
    workers[0].database.set_aside_if_damaged()
    mend_store(options(cache.path))
    inode = (cache.path / "index.sqlite").stat().st_ino
    for worker in workers:
        worker.database.set_aside_if_damaged()
    assert (cache.path / "index.sqlite").stat().st_ino == inode


@pytest.mark.parametrize("name", ["claims", "versions", "uses"])
def test_a_store_that_workers_could_not_open_is_not_mended(tmp_path: Path, name: str) -> None:
    """Else they are replaced again and again, as where the disk is full before these files are made."""
    folder = tmp_path / "cache"
    file = folder / name
    file.mkdir(parents=True)
    with pytest.raises(StoreError, match=name):
        mend_store(options(folder))
    file.rmdir()
    mend_store(options(folder))
    assert file.is_file()


def test_what_workers_make_is_no_other_store(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "claims").unlink(missing_ok=True)

    def open_anew() -> None:
        raise AssertionError("nothing is to be opened anew")

    watch = StoreWatch(tmp_path, open_anew)
    (tmp_path / "claims").touch()
    assert not watch.is_anew()


def test_a_watch_that_is_given_up_leaves_no_descriptor(tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):  # one for each reload of the configuration
        StoreWatch(tmp_path, lambda: None)
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_workers_that_cannot_use_what_was_opened_are_replaced_more_and_more_seldom(tmp_path: Path) -> None:
    """As while the disk is full: each that is replaced takes with it what waits in its memory."""
    fill(tmp_path)
    watch = StoreWatch(tmp_path, lambda: None)
    until, replaced = clock.steady() + 2.5, 0
    while clock.steady() < until:
        watch.ask()
        replaced += watch.is_anew()
        time.sleep(0.05)
    assert replaced in (2, 3)


def test_the_watch(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    fill(folder)
    tries: list[bool] = []
    works = True

    def open_anew() -> None:
        tries.append(works)
        if not works:
            raise StoreError("not now")
        mend_store(options(folder))

    for name in ("claims", "versions"):
        (folder / name).unlink(missing_ok=True)
    watch = StoreWatch(folder, open_anew)
    assert not watch.is_anew()
    # What the first worker makes is what it has open.
    for name in ("claims", "versions"):
        (folder / name).touch()
        assert not watch.is_anew()
    assert tries == []
    # Another file under the name: workers have the old one open.
    (folder / "index.sqlite").rename(folder / "elsewhere")
    assert watch.is_anew()
    assert not watch.is_anew()
    # A worker that has no store, and none to be had for now.
    works = False
    watch.ask()
    assert not watch.is_anew()
    assert not watch.is_anew()
    assert tries == [True, False]  # the next try comes later
