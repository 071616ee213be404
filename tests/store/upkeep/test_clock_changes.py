"""The clock is set, and what is stored has times of before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cachedir import URL, CacheDir, entry, whole

from pyproxycache.errors import StoreError
from pyproxycache.store.upkeep.clock_changes import ClockChanges, ClockReading, boot_id
from pyproxycache.store.values import End

DAY = 86400.0
NOW = 1_800_000_000.0


def at(wall: float, *, since_boot: float = 1000.0, boot: str = "one") -> ClockReading:
    """What the clock shows at so many seconds from NOW."""
    return ClockReading(NOW + wall, since_boot, boot)


def put(cache: CacheDir, name: str, came: float) -> None:
    """An entry that came, and was accessed last, so many seconds from NOW."""
    cache.insert([entry(f"{URL}/{name}", at=NOW + came)])


def times(cache: CacheDir) -> dict[str, tuple[float, float]]:
    """When each came, and when it was accessed, in seconds from NOW; None for the beginning of time."""
    found = {}
    for access in cache.listing.walk():
        came = access.entry.response_time
        found[access.entry.key.rpartition("/")[2]] = (came and came - NOW, access.accessed - NOW)
    return found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(0, {"old": (-DAY, -DAY), "new": (-1, -1)}, id="not-set"),
        pytest.param(-2, {"old": (-DAY, -DAY), "new": (-1, -1)}, id="corrected"),
        # What was used a moment ago was so by the new clock as well.
        pytest.param(365 * DAY, {"old": (-DAY, 364 * DAY), "new": (-1, 365 * DAY - 1)}, id="forward"),
        # What came at a time that is to come again is of unknown age, then too.
        pytest.param(-3600, {"old": (-DAY, -DAY), "new": (0, -3600)}, id="back"),
        pytest.param(-365 * DAY, {"old": (0, -365 * DAY), "new": (0, -365 * DAY)}, id="back-a-year"),
    ],
)
@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
def test_the_clock_is_set(
    cache: CacheDir, change: float, expected: dict[str, tuple[float, float]], restarted: bool
) -> None:
    changes = ClockChanges(cache.database)
    changes.look(at(0))
    put(cache, "old", -DAY)
    put(cache, "new", -1)
    if restarted:
        changes = ClockChanges(cache.database)
    changes.look(at(change))
    assert times(cache) == expected


def test_a_change_that_cannot_be_mended_yet_is_mended_later(cache: CacheDir) -> None:
    changes = ClockChanges(cache.database)
    changes.look(at(0))
    put(cache, "a", -1)
    cache.database.damage = "it cannot be written to for a while"
    with pytest.raises(StoreError):
        changes.look(at(-3600))
    cache.database.damage = ""
    changes.look(at(-3600))
    assert times(cache) == {"a": (0, -3600)}


def test_a_change_is_mended_once(cache: CacheDir) -> None:
    workers = [ClockChanges(cache.database) for _ in range(3)]
    for worker in workers:
        worker.look(at(0))
    put(cache, "a", -DAY)
    for worker in workers:
        worker.look(at(10 * DAY))
    assert times(cache) == {"a": (-DAY, 9 * DAY)}


def test_time_that_goes_by_is_no_change(cache: CacheDir) -> None:
    changes = ClockChanges(cache.database)
    changes.look(at(0))
    put(cache, "a", -DAY)
    changes.look(at(40 * DAY, since_boot=1000 + 40 * DAY))
    assert times(cache) == {"a": (-DAY, -DAY)}


@pytest.mark.parametrize("wall", [-365 * DAY, 40 * DAY], ids=["a-year-behind", "later"])
@pytest.mark.parametrize(("boot", "next_boot"), [("one", "two"), ("", "")], ids=["named", "not-named"])
def test_a_machine_that_was_off_tells_nothing_of_its_clock(
    cache: CacheDir, wall: float, boot: str, next_boot: str
) -> None:
    """It may be right now, or soon: what came is left as it is, and is of unknown age until its time."""
    ClockChanges(cache.database).look(at(0, boot=boot))
    put(cache, "a", -DAY)
    ClockChanges(cache.database).look(at(wall, since_boot=10, boot=next_boot))
    assert times(cache) == {"a": (-DAY, min(-DAY, wall))}


def test_where_the_kernel_hides_its_name_for_this_run_it_is_unknown(tmp_path: Path) -> None:
    assert boot_id(tmp_path / "hidden") == ""
    assert boot_id()


def test_many_entries(cache: CacheDir) -> None:
    changes = ClockChanges(cache.database)
    changes.look(at(0))
    cache.insert_as_it_is(*(whole(entry(f"{URL}/{n}", at=NOW - n), b"one") for n in range(1000)))
    changes.look(at(100 * DAY))
    found = times(cache)
    assert all(found[str(n)] == (-n, 100 * DAY - n) for n in range(1000))


def test_what_is_not_storable_is_asked_anew(cache: CacheDir) -> None:
    changes = ClockChanges(cache.database)
    changes.look(at(365 * DAY))
    cache.lead().finish(End.PASSED, not_storable_until=NOW + 365 * DAY + 120)
    changes.look(at(0))
    assert cache.refused() == []


def test_a_file_from_a_time_to_come_grows_old(cache: CacheDir) -> None:
    writer = cache.lead()
    writer.begin(entry(), None)
    writer.file.write(b"half")
    path = writer.file.path
    writer.leave_for_successor(End.BROKEN)
    os.utime(path, (NOW * 2, NOW * 2))
    assert cache.sweep.remove_files(unused_since=0.0) == 0
    assert path.stat().st_mtime < NOW * 2
    assert cache.sweep.remove_files(unused_since=path.stat().st_mtime + 1) == 1
