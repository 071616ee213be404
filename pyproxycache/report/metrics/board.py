"""The sheets of all workers, in memory that is made before they are forked."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from mmap import mmap

from pyproxycache.report.metrics.sheet import Sheet

log = logging.getLogger("pyproxycache")

_SHEET_BYTES = 2 << 20
_STOPS = 0  # the first byte of the memory: whether the server is to stop
_HEAD = 4096


class Board:
    """A sheet for each worker; the master deals them out, and takes them back when workers have ended.

    So the counts of workers that have ended stay, and the next worker goes on with them. Memory is taken as
    series come. The master has one thread, so nothing needs a lock.
    """

    def __init__(self, sheets: int) -> None:
        self.name = secrets.token_hex(16)
        """What nobody else can know, and no other board has."""
        self._memory = memoryview(mmap(-1, _HEAD + sheets * _SHEET_BYTES))
        self._starts = range(_HEAD, _HEAD + sheets * _SHEET_BYTES, _SHEET_BYTES)
        self._dealt: dict[object, int] = {}
        self._next: int | None = None

    # The master.

    def deal(self, worker: object) -> None:
        """Deal the next worker to be forked a sheet that no living one has."""
        taken = set(self._dealt.values())
        self._next = next((number for number in range(len(self._starts)) if number not in taken), None)
        if self._next is not None:
            self._dealt[worker] = self._next

    def collect(self, worker: object) -> None:
        """Take back the sheet of a worker that has ended."""
        number = self._dealt.pop(worker, None)
        if number is not None:
            self._sheet(number).leave()

    def stop(self) -> None:
        """Note that the whole server is to stop, and not only some of its workers."""
        self._memory[_STOPS] = 1

    # The workers.

    @property
    def stops(self) -> bool:
        """Whether the whole server is to stop."""
        return bool(self._memory[_STOPS])

    def take(self) -> Sheet:
        """The sheet that this worker was dealt, or one of its own where there was none left."""
        if self._next is None:
            log.warning("there are too many workers: the figures of %d are not counted", os.getpid())
            sheet = Sheet(memoryview(bytearray(_SHEET_BYTES)))
        else:
            sheet = self._sheet(self._next)
        sheet.take(os.getpid())
        return sheet

    def workers(self) -> list[int]:
        """The processes of the workers that live and have a sheet."""
        return [sheet.owner for sheet in self.sheets() if sheet.owner]

    def sheets(self) -> Iterator[Sheet]:
        """The sheets that any worker has ever had."""
        for number in range(len(self._starts)):
            sheet = self._sheet(number)
            if not sheet.is_used:  # they are dealt out from the first on
                return
            yield sheet

    def _sheet(self, number: int) -> Sheet:
        start = self._starts[number]
        return Sheet(self._memory[start : start + _SHEET_BYTES])
