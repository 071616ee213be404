"""Reads a spool from any position on, over what is torn or damaged."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pyproxycache.report.events.segments import event_in, segment_numbers, segment_path

_STEP = 256 << 10


class Position(NamedTuple):
    """A place between two lines of a spool: the number of a segment, and an offset there (bytes)."""

    segment: int
    offset: int


START = Position(0, 0)
"""Before all segments."""


class SpooledEvents(NamedTuple):
    """Events with the position behind each, the position behind all that was read, and damaged lines."""

    events: list[tuple[bytes, Position]]
    end: Position
    damaged: int = 0


class SpoolReader:
    """Reads events in their order while processes append; `step` bytes at a time, if no line is longer."""

    def __init__(self, folder: Path, step: int = _STEP) -> None:
        self._folder = folder
        self._step = step

    def read(self, position: Position) -> SpooledEvents:
        """Some of the events behind the position: none if there are no more now. Raises OSError."""
        damaged = 0
        while True:
            numbers = self._numbers()
            position = self._there(position, numbers)
            lines = self._lines(position) if numbers else b""
            if lines:
                found = _events_in(lines, position)
                damaged += found.damaged
                if found.events:
                    return found._replace(damaged=damaged)
                position = found.end
            elif not numbers or position.segment == numbers[-1]:
                return SpooledEvents([], position, damaged)
            else:
                # It had a successor before it was read: what is left of it is torn.
                position = Position(numbers[numbers.index(position.segment) + 1], 0)

    def resumed(self, position: Position) -> Position:
        """The position that read() goes on from; raises OSError."""
        return self._there(position, self._numbers())

    def end(self) -> Position:
        """The position behind all that is there now; raises OSError."""
        numbers = self._numbers()
        return Position(numbers[-1], self._size(numbers[-1])) if numbers else START

    def size_behind(self, position: Position) -> int:
        """How many bytes are behind the position; raises OSError."""
        total = 0
        for number in self._numbers():
            with suppress(FileNotFoundError):  # removed meanwhile, as it has been sent
                size = self._size(number)
                if number >= position.segment:
                    total += max(0, size - position.offset) if number == position.segment else size
        return total

    def forget_before(self, position: Position) -> None:
        """Remove the segments before that of the position, which nobody reads any more."""
        numbers = self._numbers()
        if position.segment in numbers:
            for number in numbers[: numbers.index(position.segment)]:
                segment_path(self._folder, number).unlink(missing_ok=True)

    def _there(self, position: Position, numbers: list[int]) -> Position:
        """The position, or the one to go on from if it is in no segment."""
        if position.segment not in numbers:
            # Its segment was removed; or the folder was made anew, where numbers begin again.
            later = [number for number in numbers if number > position.segment] or numbers
            return Position(later[0], 0) if later else position
        # A segment is shorter only if the machine's power failed: what is there may all be new.
        return (
            position if position.offset <= self._size(position.segment) else Position(position.segment, 0)
        )

    def _numbers(self) -> list[int]:
        try:
            return segment_numbers(self._folder)
        except FileNotFoundError:
            return []

    def _size(self, number: int) -> int:
        return segment_path(self._folder, number).stat().st_size

    def _lines(self, position: Position) -> bytes:
        """Whole lines behind the position, so many as a step has, but one at least if there is one."""
        data, step, end = b"", self._step, 0
        fd = os.open(segment_path(self._folder, position.segment), os.O_RDONLY | os.O_CLOEXEC)
        try:
            while not end:
                more = os.pread(fd, step, position.offset + len(data))
                data += more
                end = data.rfind(b"\n") + 1
                if not more:
                    break
        finally:
            os.close(fd)
        return data[:end]


def _events_in(lines: bytes, position: Position) -> SpooledEvents:
    """The events in whole lines that begin at the position."""
    events, damaged, offset = [], 0, position.offset
    for record in lines[:-1].split(b"\n"):
        offset += len(record) + 1
        event = event_in(record) if record else None
        if event is not None:
            events.append((event, Position(position.segment, offset)))
        elif record:
            damaged += 1
    return SpooledEvents(events, Position(position.segment, offset), damaged)
