"""The SQLite file: schema, transactions, and use by many threads and processes."""

import os
import signal
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cachedir import URL, CacheDir, entry
from storeprocess import StoreProcess

from pyproxycache.errors import NoSpace, StoreError
from pyproxycache.store.sqlite.database import SCHEMA_VERSION, Database


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(found)


def test_an_empty_file_is_migrated_and_then_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.touch()
    assert version(path) == 0
    for _ in range(2):
        database = Database(path)
        database.migrate()
        with database.write() as db:
            db.execute("INSERT INTO counters VALUES (?, 1)", (os.urandom(4).hex(),))
        database.close()
    assert version(path) == SCHEMA_VERSION
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM counters").fetchone() == (2,)
    connection.close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 6}")
    connection.close()
    database = Database(path)
    with pytest.raises(
        StoreError, match=rf"schema {SCHEMA_VERSION + 6}; this one knows {SCHEMA_VERSION}\)"
    ):
        database.migrate()
    database.close()
    assert version(path) == SCHEMA_VERSION + 6


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(b"something else " * 100)
    with pytest.raises(StoreError, match=r"cannot open the index .*not a database"):
        Database(path).migrate()


@pytest.mark.in_files
def test_an_error_rolls_back(cache: CacheDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_digest: str) -> None:
        raise ZeroDivisionError

    stored = cache.put(URL, b"body")
    monkeypatch.setattr(cache.blobs, "remove", fail)
    with pytest.raises(ZeroDivisionError):
        cache.blob_rows.drop_blob(stored.digest, cache.blobs)
    assert cache.stored(URL) == [stored]
    assert cache.body(stored) == b"body"


def test_a_full_disk_is_no_space(cache: CacheDir) -> None:
    cache.fill_up()
    with pytest.raises(NoSpace), cache.database.write() as db:
        db.execute("INSERT INTO facts VALUES ('long', ?)", ("x" * 1_000_000,))


def test_threads_and_processes_write_in_turn(
    cache: CacheDir, make_process: Callable[..., StoreProcess]
) -> None:
    processes = [make_process(), make_process()]
    for process in processes:
        process.send("count", 200)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: cache.index.touch({}, {"n": 1}), range(200)))
    for process in processes:
        process.answer()
    assert cache.index.counters() == {"n": 600}


def in_a_fork(work: Callable[[], None]) -> int:
    """The exit status of a forked child that does the work; killed if it hangs."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_has_a_connection_of_its_own(cache: CacheDir) -> None:
    cache.index.touch({}, {"n": 1})
    assert in_a_fork(lambda: cache.index.touch({}, {"n": 1})) == 0
    cache.index.touch({}, {"n": 1})
    assert cache.index.counters() == {"n": 3}


def test_the_log_is_brought_into_the_file_by_who_has_written_much(
    cache: CacheDir, make_process: Callable[..., StoreProcess]
) -> None:
    def size() -> int:
        return cache.database.path.stat().st_size

    cache.index.touch({}, {f"n{number}": 1 for number in range(9_990)})
    before = size()
    make_process().call("settle")  # which has written nothing itself
    cache.index.settle()
    assert size() == before
    cache.index.touch({}, {f"m{number}": 1 for number in range(10)})
    cache.index.settle()
    assert size() > before + 9_990 * 5


def test_a_writer_who_waits_gets_his_turn_within_a_long_purge(cache: CacheDir) -> None:
    cache.insert(entry(f"{URL}/{number}") for number in range(3000))
    left = []

    def write() -> None:
        while not done:
            cache.index.touch({}, {"n": 1})
            left.append(cache.index.usage().entries)

    done: list[bool] = []
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(write)
        assert cache.index.purge_matching() == 3000
        done.append(True)
        other.result()
    assert len({count for count in left if 0 < count < 3000}) > 3
