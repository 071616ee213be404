"""The spool that all workers append events to: bounded, in order, and whole after any end of a process."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pyproxycache.report.events.segments import as_record, segment_numbers, segment_path

_SEGMENTS = 16
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_LOCK = "append.lock"


class Unspooled(Exception):
    """The disk failed behind the first `taken` events; the text says why."""

    def __init__(self, error: OSError, taken: int) -> None:
        super().__init__(error.strerror or str(error))
        self.taken = taken


class _CutShort(Exception):
    """Only some `whole` records of a batch were written."""

    def __init__(self, error: OSError, whole: int) -> None:
        super().__init__()
        self.error = error
        self.whole = whole


class _Batch(NamedTuple):
    """Records for one segment."""

    path: Path
    records: list[bytes]

    def whole(self, written: int) -> int:
        """How many records are among the first bytes `written`."""
        ends = itertools.accumulate(map(len, self.records))
        return sum(end <= written for end in ends)


class Spool:
    """The appending side of a spool in a folder, which takes up to `size` bytes; used by one thread.

    A batch begins with a line end: what a killed process, or a full disk, has left of a line ends there.
    Only segments that have a successor are ever removed, and that by who sends them.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._segment = max(1, size // _SEGMENTS)

    @property
    def largest(self) -> int:
        """How many bytes an event may have."""
        return self._segment - len(as_record(b"")) - 1

    def append(self, events: Sequence[bytes]) -> int:
        """Append the events in this order; returns how many of the first there was room for.

        Each has to be no larger than `largest`. Raises Unspooled.
        """
        taken = 0
        try:
            with self._locked():
                while batch := self._batch(events[taken:]):
                    taken += self._written(batch)
        except _CutShort as short:
            raise Unspooled(short.error, taken + short.whole) from short.error
        except OSError as error:
            raise Unspooled(error, taken) from error
        return taken

    def _batch(self, events: Sequence[bytes]) -> _Batch | None:
        """As many of the first events as one segment takes, for that; None if there is room for none."""
        if not events:
            return None
        numbers = segment_numbers(self._folder)
        last = numbers[-1] if numbers else 1
        used = segment_path(self._folder, last).stat().st_size if numbers else 0
        records = _fitting(events, self._segment - used)
        if not records and len(numbers) < _SEGMENTS:
            last, records = last + 1, _fitting(events, self._segment)
        return _Batch(segment_path(self._folder, last), records) if records else None

    def _written(self, batch: _Batch) -> int:
        """Write a batch; returns how many events it has. Raises _CutShort."""
        fd = os.open(batch.path, _FLAGS, 0o600)
        data, done = b"\n" + b"".join(batch.records), 0
        try:
            while done < len(data):
                done += os.write(fd, data[done:])
        except OSError as error:
            raise _CutShort(error, batch.whole(done - 1)) from error
        finally:
            os.close(fd)
        return len(batch.records)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """A context in which no other process appends."""
        try:
            fd = os.open(self._folder / _LOCK, _FLAGS, 0o600)
        except FileNotFoundError:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            fd = os.open(self._folder / _LOCK, _FLAGS, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _fitting(events: Sequence[bytes], room: int) -> list[bytes]:
    """The records of the first events, as many as fit into so many bytes with a line end before them."""
    records, size = [], 1
    for event in events:
        record = as_record(event)
        size += len(record)
        if size > room:
            break
        records.append(record)
    return records
