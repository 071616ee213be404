"""Events in a file: whole lines, whatever happens to the file or the disk."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyproxycache.report.events.carrier import Undelivered
from pyproxycache.report.events.file_carrier import FileCarrier

EVENTS = [b'{"id":"%d"}' % number for number in range(1000)]


def never() -> bool:
    return False


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@pytest.fixture
def carrier(path: Path) -> FileCarrier:
    return FileCarrier(path, threading.Event())


@pytest.fixture
def file_limit() -> Iterator[None]:
    """Files of 1,000 bytes at most: what is beyond fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_events_are_lines(carrier: FileCarrier, path: Path) -> None:
    carrier.deliver(EVENTS[:3], never)
    carrier.deliver(EVENTS[3:5], never)
    assert path.read_bytes().splitlines() == EVENTS[:5]


def test_a_file_that_is_renamed_stays_as_it_is(carrier: FileCarrier, path: Path) -> None:
    carrier.deliver(EVENTS[:3], never)
    old = path.rename(path.with_suffix(".1"))
    carrier.deliver(EVENTS[3:5], never)
    assert (old.read_bytes().splitlines(), path.read_bytes().splitlines()) == (EVENTS[:3], EVENTS[3:5])


def test_a_full_disk_says_how_many_are_in(carrier: FileCarrier, path: Path, file_limit: None) -> None:
    with pytest.raises(Undelivered, match="File too large") as failure:
        carrier.deliver(EVENTS, never)
    delivered = failure.value.delivered
    assert path.read_bytes().split(b"\n")[:-1] == EVENTS[:delivered]
    _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    carrier.deliver(EVENTS[delivered:], never)
    lines = path.read_bytes().splitlines()
    assert [line for line in lines if line in set(EVENTS)] == EVENTS
    assert len(lines) <= len(EVENTS) + 1  # one may be torn


def test_a_torn_line_is_ended_first(carrier: FileCarrier, path: Path) -> None:
    path.write_bytes(b'{"id":"tor')
    carrier.deliver(EVENTS[:2], never)
    assert path.read_bytes().splitlines() == [b'{"id":"tor', *EVENTS[:2]]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Undelivered, match="no/events: No such file or directory"):
        FileCarrier(tmp_path / "no" / "events", threading.Event()).deliver(EVENTS[:1], never)


def test_a_pipe_that_nobody_reads_takes_nothing(carrier: FileCarrier, path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(Undelivered, match="nobody reads") as failure:
        carrier.deliver(EVENTS[:3], never)
    assert failure.value.delivered == 0
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        carrier.deliver(EVENTS[:3], never)
        assert reader.read().splitlines() == EVENTS[:3]


def test_a_full_pipe_says_how_many_are_in(carrier: FileCarrier, path: Path) -> None:
    os.mkfifo(path)
    every, read = [event.ljust(999) for event in EVENTS[:100]], b""
    events = every
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        for _ in range(len(events)):
            try:
                carrier.deliver(events, never)
            except Undelivered as failure:
                events = events[failure.delivered :]
                read += reader.read() or b""
            else:
                break
        read += reader.read() or b""
    lines = read.splitlines()
    assert [line for line in lines if line in every] == every
    # What was cut off is a line of its own.
    assert all(any(event.startswith(line) for event in every) for line in lines)
