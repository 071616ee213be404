"""The spool: in order, bounded, and read over whatever kills, full disks and bad ones leave of it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyproxycache.report.events.segments import as_record, segment_numbers, segment_path
from pyproxycache.report.events.spool import Spool, Unspooled
from pyproxycache.report.events.spool_reader import START, Position, SpoolReader

PROCESS = Path(__file__).with_name("spooling_process.py")
KB = 1024


def all_of(folder: Path, position: Position = START, step: int = 700) -> list[bytes]:
    """All events behind the position, read in small steps."""
    reader, events = SpoolReader(folder, step), []
    while True:
        reading = reader.read(position)
        if not reading.events:
            return events
        assert reading.events[-1][1] <= reading.end
        events += [event for event, _end in reading.events]
        position = reading.end


def numbers(first: int, last: int) -> list[bytes]:
    return [b"event %d %s" % (number, b"." * (number * 37 % 300)) for number in range(first, last)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "events"


def test_what_is_appended_is_read_in_order(folder: Path) -> None:
    spool = Spool(folder, 1 << 20)
    for first in range(0, 1000, 50):
        assert spool.append(numbers(first, first + 50)) == 50
    assert all_of(folder) == numbers(0, 1000)
    assert len(segment_numbers(folder)) > 1


def test_nothing_is_spooled_yet(folder: Path) -> None:
    assert SpoolReader(folder).read(START) == ([], START, 0)
    assert SpoolReader(folder).end() == START


def test_each_event_ends_where_the_next_is_read(folder: Path) -> None:
    Spool(folder, 1 << 20).append(numbers(0, 500))
    position, events = START, numbers(0, 500)
    for event, end in SpoolReader(folder, 64 * KB).read(START).events:
        assert event == events.pop(0)
        position = end
    assert all_of(folder, position) == events


def test_an_event_longer_than_a_step_is_read(folder: Path) -> None:
    events = [b"a" * 10_000, b"b", b"c" * 20_000]
    Spool(folder, 1 << 20).append(events)
    assert all_of(folder, step=100) == events


def test_it_takes_no_more_than_its_size(folder: Path) -> None:
    spool, events = Spool(folder, 64 * KB), numbers(0, 1000)
    taken = spool.append(events)
    assert 0 < taken < len(events)
    assert spool.append(events[taken:]) == 0
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 64 * KB
    assert all_of(folder) == events[:taken]


def test_what_was_sent_makes_room(folder: Path) -> None:
    spool, events = Spool(folder, 64 * KB), numbers(0, 1000)
    taken = spool.append(events)
    reader = SpoolReader(folder)
    reading = reader.read(START)
    reader.forget_before(reader.read(reading.end).end)
    more = spool.append(events[taken:])
    assert more > 0
    assert all_of(folder, reading.end) == events[len(reading.events) : taken + more]


def test_the_largest_event_fits_and_no_larger_one(folder: Path) -> None:
    spool = Spool(folder, 64 * KB)
    assert spool.append([b"x" * spool.largest]) == 1
    assert all_of(folder) == [b"x" * spool.largest]
    assert spool.append([b"x" * (spool.largest + 1)]) == 0


def test_the_last_segment_stays_so_that_numbers_go_on(folder: Path) -> None:
    spool, reader = Spool(folder, 64 * KB), SpoolReader(folder)
    spool.append(numbers(0, 100))
    reader.forget_before(reader.end())
    assert segment_numbers(folder) == [reader.end().segment]


def test_a_reader_waits_for_a_line_that_is_being_written(folder: Path) -> None:
    folder.mkdir()
    path, record = segment_path(folder, 1), as_record(b"whole")
    reader = SpoolReader(folder)
    for cut in range(len(record)):
        path.write_bytes(record[:cut])
        reading = reader.read(START)
        assert (reading.events, reading.damaged) == ([], 0)
        path.write_bytes(record)
        assert [event for event, _end in reader.read(reading.end).events] == [b"whole"]
        path.unlink()


@pytest.mark.parametrize("goes_on", ["in the same segment", "in the next segment"])
def test_a_torn_line_is_passed_over_wherever_it_was_torn(folder: Path, goes_on: str) -> None:
    before, torn, behind = b"before", b"torn by a kill", b"behind"
    for cut in range(len(as_record(torn))):
        segment = folder / str(cut)
        segment.mkdir(parents=True)
        segment_path(segment, 1).write_bytes(as_record(before) + as_record(torn)[:cut])
        if goes_on == "in the next segment":
            segment_path(segment, 2).touch()
        assert Spool(segment, 1 << 20).append([behind]) == 1
        whole = [torn] if cut == len(as_record(torn)) - 1 and goes_on == "in the same segment" else []
        assert all_of(segment) == [before, *whole, behind], cut


@given(st.data())
@settings(max_examples=300)
def test_a_flipped_bit_costs_no_other_event(data: st.DataObject) -> None:
    events = [b"event %d" % number for number in range(6)]
    records = [as_record(event) for event in events]
    text = bytearray(b"\n" + b"".join(records))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] ^= 1 << data.draw(st.integers(0, 7))
    with tempfile.TemporaryDirectory() as folder:
        segment_path(Path(folder), 1).write_bytes(text)
        found = all_of(Path(folder), step=16)
    ends = [1 + sum(map(len, records[: number + 1])) for number in range(len(records))]
    hurt = {number for number, end in enumerate(ends) if end - len(records[number]) <= place < end}
    # A line end that is gone joins two lines.
    hurt |= {number + 1 for number, end in enumerate(ends) if place == end - 1}
    hurt |= {0} if place == 0 else set()
    assert [event for number, event in enumerate(events) if number not in hurt] == [
        event for event in found if event in events and events.index(event) not in hurt
    ]
    assert set(found) <= set(events)


def test_damaged_lines_are_counted(folder: Path) -> None:
    folder.mkdir()
    good = as_record(b"good")
    segment_path(folder, 1).write_bytes(good + b"rubbish\n" + good[:-3] + b"xx\n\n" + b"\xff\r\0\n" + good)
    reading = SpoolReader(folder).read(START)
    assert ([event for event, _end in reading.events], reading.damaged) == ([b"good", b"good"], 3)


def test_a_segment_of_damaged_lines_is_passed_over(folder: Path) -> None:
    folder.mkdir()
    segment_path(folder, 1).write_bytes(b"rubbish\n" * 500)
    segment_path(folder, 2).write_bytes(as_record(b"good"))
    reading = SpoolReader(folder, 64).read(START)
    assert ([event for event, _end in reading.events], reading.damaged) == ([b"good"], 500)


def test_segments_that_are_gone_are_passed_over(folder: Path) -> None:
    Spool(folder, 64 * KB).append(numbers(0, 1000))
    first, *_middle, last = segment_numbers(folder)
    kept = all_of(folder, Position(last, 0))
    for number in segment_numbers(folder)[:-1]:
        segment_path(folder, number).unlink()
    assert all_of(folder, Position(first, 10)) == kept


def test_a_folder_that_was_made_anew_is_read_from_its_beginning(folder: Path) -> None:
    Spool(folder, 1 << 20).append([b"new"])
    assert all_of(folder, Position(17, 4000)) == [b"new"]
    assert all_of(folder, Position(1, 4000)) == [b"new"]


@pytest.fixture
def file_limit() -> Iterator[None]:
    """Files of 10 KB at most: what is beyond fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10 * KB, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_takes_a_part_and_the_rest_later(folder: Path, file_limit: None) -> None:
    events = numbers(0, 200)
    spool = Spool(folder, 16 << 20)
    with pytest.raises(Unspooled, match="File too large") as full:
        spool.append(events)
    taken = full.value.taken
    assert all_of(folder) == events[:taken]
    assert 0 < taken < 200
    _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert spool.append(events[taken:]) == 200 - taken
    assert all_of(folder) == events


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(Unspooled, match="No such file or directory") as failure:
        Spool(tmp_path / "no" / "events", KB).append([b"x"])
    assert failure.value.taken == 0


def test_nobody_else_may_read_it(folder: Path) -> None:
    Spool(folder, 1 << 20).append([b"x"])
    modes = {path.stat().st_mode & 0o77 for path in (folder, *folder.iterdir())}
    assert modes == {0}


def test_threads_with_spools_of_their_own_lose_nothing(folder: Path) -> None:
    def append(name: int) -> None:
        spool = Spool(folder, 16 << 20)
        for number in range(200):
            assert spool.append([b"%d %d" % (name, number), b"%d %d b" % (name, number)]) == 2

    threads = [threading.Thread(target=append, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = all_of(folder)
    assert len(events) == 1600
    for name in range(4):
        own = [event for event in events if event.startswith(b"%d " % name)]
        assert own == [b"%d %d%s" % (name, n, s) for n in range(200) for s in (b"", b" b")]


def test_what_a_killed_process_has_appended_is_there(folder: Path) -> None:
    """Kills it again and again, wherever it is; all it was told to be in is read, in order, once."""
    told: dict[str, int] = {}
    for name in map(str, range(6)):
        command = [sys.executable, str(PROCESS), str(folder), str(64 << 20), name]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        assert process.stdout is not None
        for _lines in range(3 + 5 * int(name)):
            told[name] = int(process.stdout.readline())
        process.kill()
        for line in process.stdout.read().splitlines(keepends=True):
            told[name] = int(line) if line.endswith("\n") else told[name]
        process.stdout.close()
        process.wait()
    found: dict[str, list[int]] = {name: [] for name in told}
    for event in all_of(folder, step=256 * KB):
        name, number, *_rest = event.decode().split(" ")
        found[name].append(int(number))
    for name, last in told.items():
        assert found[name] == list(range(len(found[name])))
        assert len(found[name]) >= last
