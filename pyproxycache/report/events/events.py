"""Events off the request's path: a queue in memory, and a thread that spools it."""

from __future__ import annotations

import logging
import secrets
import threading
from functools import partial

from msgspec.structs import replace

from pyproxycache import clock
from pyproxycache.announced import Announced
from pyproxycache.background import Background, Count
from pyproxycache.outcome import Outcome
from pyproxycache.report.events.event import event_line
from pyproxycache.report.events.sender import Sender
from pyproxycache.report.events.spool import Spool, Unspooled
from pyproxycache.units import format_size

log = logging.getLogger("pyproxycache")

_GATHER_SECONDS = 0.02
_RETRY_SECONDS = 0.5
_CAPACITY = 32 << 20
_OF_AN_EVENT = 1500
"""Bytes that a queued event takes besides its fields and content."""

_Queued = tuple[Outcome, Announced, int]


class Events:
    """Takes finished requests, and has a thread write their events to the spool, in the order they came.

    No request waits for it: what is beyond the `capacity` of the queue (bytes), or of the spool, is dropped
    and counted, the newest first. Each event has a number, so that a gap shows what is missing. `_waiting`,
    `_size`, `_number`, `_lost` and `_closing` are guarded by `_changed`.
    """

    def __init__(self, spool: Spool, sender: Sender, count: Count, *, capacity: int = _CAPACITY) -> None:
        self._spool = spool
        self._sender = sender
        self._count = count
        self._capacity = capacity
        self._worker = secrets.token_hex(8)
        # Its lock is reentrant: a signal handler may run in a thread that holds the lock.
        self._changed = threading.Condition()
        self._waiting: list[_Queued] = []
        self._size = 0
        self._number = 0
        self._lost = 0
        self._closing = False
        self._lines: list[bytes] = []
        self._missing = 0
        self._trouble = ""
        self._background = Background("events", log, count)
        self._thread = threading.Thread(target=self._run, name="event-spool", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        self._thread.start()
        self._sender.start()

    def put(self, outcome: Outcome, announced: Announced) -> None:
        """Queue the event of a request that has ended."""
        size = _OF_AN_EVENT + announced.size
        with self._changed:
            self._number += 1
            if self._size + size > self._capacity:
                self._lost += 1
                return
            self._size += size
            self._waiting.append((outcome, announced, self._number))
            if len(self._waiting) == 1:
                self._changed.notify()

    def flush(self, seconds: float) -> None:
        """Spool the queue and end its thread, in `seconds` at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def close(self, seconds: float) -> None:
        """Spool the queue, send what can be sent in `seconds`, and end."""
        deadline = clock.steady() + seconds
        self.flush(seconds)
        self._sender.close(max(0.0, deadline - clock.steady()))

    # From here on, all is called by the thread alone.

    def _run(self) -> None:
        ending = False
        while not ending:
            batch, lost, ending = self._gathered()
            if batch or lost:
                self._count({"events.queued": len(batch) + lost})
            self._background.attempt(partial(self._encode, batch))
            if lost:
                self._lose(lost, f"more than {format_size(self._capacity)} are waiting for the disk")
            while not self._spooled() and not ending:
                with self._changed:
                    ending = self._changed.wait_for(lambda: self._closing, _RETRY_SECONDS)
        left = len(self._lines) + self._missing
        if left:
            self._count({"events.lost": len(self._lines)})
            log.error("events end; lost: %d", left)

    def _gathered(self) -> tuple[list[_Queued], int, bool]:
        """The queue, how many were lost meanwhile, and whether that is the end; waits for an event."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(lambda: self._closing, _GATHER_SECONDS)
            batch, self._waiting = self._waiting, []
            lost, self._lost = self._lost, 0
            self._size = 0
            return batch, lost, self._closing

    def _encode(self, batch: list[_Queued]) -> None:
        """Make the lines of the batch."""
        for outcome, announced, number in batch:
            event_id = f"{self._worker}-{number}"
            line = event_line(outcome, announced, event_id)
            if len(line) > self._spool.largest and announced.content:
                line = event_line(outcome, replace(announced, content=b"", is_cut=True), event_id)
            if len(line) > self._spool.largest:
                self._lose(1, f"an event is larger than {format_size(self._spool.largest)}")
            else:
                self._lines.append(line)

    def _spooled(self) -> bool:
        """Spool the lines; returns whether none of them has to wait for the disk."""
        try:
            taken = self._spool.append(self._lines)
        except Unspooled as failure:
            self._count({"events.spooled": failure.taken})
            del self._lines[: failure.taken]
            self._tell(
                f"the disk fails ({failure}), and no more than {format_size(self._capacity)} can wait"
            )
            return False
        self._count({"events.spooled": taken})
        left = len(self._lines) - taken
        self._lines.clear()
        if left:
            self._lose(left, "the spool is full")
        elif taken and self._trouble:
            log.warning("events are kept again; lost: %d", self._missing)
            self._trouble, self._missing = "", 0
        return True

    def _lose(self, number: int, why: str) -> None:
        self._count({"events.lost": number})
        self._missing += number
        self._tell(why)

    def _tell(self, why: str) -> None:
        """Log once when events begin to be lost, and why."""
        if not self._trouble:
            log.error("events cannot be kept: %s", why)
            self._trouble = why
