"""Which statements are kept where there are too many, or where they are too old."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyproxycache import clock
from pyproxycache.options import Share, StoreOptions
from pyproxycache.rules.statements import in_force
from pyproxycache.statement import Statement
from pyproxycache.store.bodies.stated_rows import StatedRows
from pyproxycache.store.upkeep.clock_changes import ClockChanges, ClockReading
from pyproxycache.store.values import StatedFile
from pyproxycache.wiring.stored import OpenStore, open_store

DAY = 86400.0
MUCH, LITTLE = "http://much.example/", "http://little.example/"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenStore]:
    opened = open_store(StoreOptions(path=tmp_path / "cache", reserve=Share()))
    yield opened
    opened.database.close()


def of(store: OpenStore, most: int) -> StatedRows:
    """The statements of the store, of which it keeps so many."""
    return StatedRows(store.database, store.bodies, in_force, most)


def files(*names: str) -> list[StatedFile]:
    return [
        StatedFile(f"http://files.example/{name}", (("md5", hashlib.md5(name.encode()).hexdigest()),))
        for name in names
    ]


def state(rows: StatedRows, place: str, *names: str) -> None:
    rows.state(f"{place}page", place, files(*names))


def kept(rows: StatedRows, *names: str) -> list[str]:
    """Those of these files of which something is stated."""
    return [name for name, file in zip(names, files(*names), strict=True) if rows.of(file.key).made]


def test_who_states_most_loses_the_oldest(store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = of(store, 6)
    state(rows, LITTLE, "a", "b")
    with monkeypatch.context() as patched:
        patched.setattr(clock, "wall", lambda: time.time() + DAY)
        state(rows, MUCH, "1", "2", "3")
    with monkeypatch.context() as patched:
        patched.setattr(clock, "wall", lambda: time.time() + 2 * DAY)
        state(rows, MUCH, *"456789")
    assert kept(rows, "a", "b") == ["a", "b"]
    assert len(kept(rows, *"123456789")) == 4
    assert not kept(rows, "1", "2", "3")


def test_what_nobody_has_stated_for_long_goes_and_its_repository(
    store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = of(store, 10)
    state(rows, LITTLE, "a", "b")
    with monkeypatch.context() as patched:
        patched.setattr(clock, "wall", lambda: time.time() + 91 * DAY)
        state(rows, MUCH, "1")
        assert kept(rows, "a", "b", "1") == ["1"]
        assert store.database.select("SELECT url FROM repositories") == [(MUCH,)]
        state(rows, LITTLE, "a")
    assert kept(rows, "a", "b") == ["a"]


def test_what_a_clock_that_was_set_had_forgotten_is_read_again(
    store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock a year ahead all statements are too old, while their documents were read a moment ago."""
    rows, changes = of(store, 10), ClockChanges(store.database)
    changes.look(ClockReading(time.time(), 1000.0, "one"))
    state(rows, LITTLE, "a")
    rows.end_reading(f"{LITTLE}page")
    with monkeypatch.context() as patched:
        patched.setattr(clock, "wall", lambda: time.time() + 365 * DAY)
        changes.look(ClockReading(clock.wall(), 1000.0, "one"))
        assert not rows.was_read_since(f"{LITTLE}page", time.time() - 7 * DAY)
        state(rows, MUCH, "1")
        rows.end_reading(f"{MUCH}page")
        rows.note_mismatch("http://files.example/1")
        assert kept(rows, "a") == []
    changes.look(ClockReading(time.time(), 1000.0, "one"))
    for place in (LITTLE, MUCH):
        assert not rows.was_read_since(f"{place}page", time.time() - 7 * DAY)
    assert not rows.of("http://files.example/1").has_failed


def test_a_small_step_of_the_clock_has_no_document_read_again(store: OpenStore) -> None:
    rows, changes, now = of(store, 10), ClockChanges(store.database), time.time()
    changes.look(ClockReading(now, 1000.0, "one"))
    state(rows, LITTLE, "a")
    rows.end_reading(f"{LITTLE}page")
    changes.look(ClockReading(now + 60, 1000.0, "one"))
    assert rows.was_read_since(f"{LITTLE}page", now - DAY)


def test_digests_that_are_none_are_left_out(store: OpenStore) -> None:
    rows = of(store, 10)
    key, sha256 = "http://files.example/a", hashlib.sha256(b"a").hexdigest()
    told = ("sha-256", sha256), ("md5", "00"), ("crc32", "0" * 8)
    rows.state(f"{MUCH}page", MUCH, [StatedFile(key, told)])
    assert rows.of(key).made == (Statement(MUCH, told[:1], f"{MUCH}page"),)


def test_a_document_of_many_files_takes_the_memory_of_few(store: OpenStore) -> None:
    rows = of(store, 100_000)

    def many() -> Iterator[StatedFile]:
        for number in range(20_000):
            yield from files(f"package-{number}.conda")

    for _ in range(2):  # what is known already is looked up, too
        tracemalloc.start()
        try:
            rows.state(f"{MUCH}repodata.json", MUCH, many())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2 << 20
