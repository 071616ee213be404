"""The access log: one line for each request, written by a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from functools import partial

from pyproxycache.background import Background, Count
from pyproxycache.outcome import Outcome
from pyproxycache.report.formats import Format
from pyproxycache.report.sinks import Sink, Unwritten

log = logging.getLogger("pyproxycache")

_GATHER_SECONDS = 0.2
_BATCH = 1000
_CAPACITY = 200_000


def _uncounted(_increments: dict[str, int]) -> None:
    """Counts nothing."""


class AccessLog:
    """Queues outcomes, and writes them as lines in batches, in a thread of its own.

    A line is written at most 0.2 s after its request, unless the sink is slower. No request waits for it:
    lines beyond the `capacity` of the queue are dropped and counted. `_waiting`, `_left_out`, `_rotated`
    and `_closing` are guarded by `_changed`.
    """

    def __init__(
        self, sink: Sink, form: Format, *, query: bool, capacity: int = _CAPACITY, count: Count = _uncounted
    ) -> None:
        self._sink = sink
        self._form = form
        self._query = query
        self.lines = form.lines(query)
        self._capacity = capacity
        # Its lock is reentrant: a signal handler may run in a thread that holds the lock.
        self._changed = threading.Condition()
        self._waiting: list[Outcome | str] = []
        self._left_out = 0
        self._rotated = True
        self._closing = False
        self._open_due = False
        self._failing = False
        self._missing = 0
        self._background = Background("access-log", log, count)
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(self, finished: Iterable[Outcome | str]) -> None:
        """Queue outcomes, which must not change any more, or finished lines."""
        with self._changed:
            before = len(self._waiting)
            self._waiting += finished
            if len(self._waiting) > self._capacity:
                self._left_out += len(self._waiting) - self._capacity
                del self._waiting[self._capacity :]
            if before == 0 or before < _BATCH <= len(self._waiting):
                self._changed.notify()

    def reopen(self) -> None:
        """Have the sink opened again before the next line; may be called by a signal handler."""
        with self._changed:
            self._rotated = True
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Write the queue and end the thread, in `seconds` at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)

    # From here on, all is called by the thread alone.

    def _run(self) -> None:
        ending = False
        while not ending:
            with self._changed:
                self._gather()
                batch, self._waiting = self._waiting, []
                left_out, self._left_out = self._left_out, 0
                self._open_due, self._rotated = self._open_due or self._rotated, False
                ending = self._closing
            if not self._background.attempt(partial(self._write, batch, left_out)):
                self._missing += len(batch)
        if self._missing:
            log.error("the access log ends; lines missing: %d", self._missing)
        self._sink.close()

    def _gather(self) -> None:
        """Wait for a line or a request to reopen or close, and then a moment for more lines."""

        def is_urgent() -> bool:
            return self._rotated or self._closing or len(self._waiting) >= _BATCH

        self._changed.wait_for(lambda: self._waiting or is_urgent())
        self._changed.wait_for(is_urgent, _GATHER_SECONDS)

    def _write(self, batch: list[Outcome | str], left_out: int) -> None:
        trouble = f"more than {self._capacity} lines are waiting" if left_out else ""
        self._missing += left_out
        if self._open_due:
            try:
                self._sink.open()
                self._open_due = False
            except OSError as error:
                trouble = error.strerror or str(error)
        if batch:
            try:
                self._sink.write([self._line(one) for one in batch])
            except Unwritten as error:
                trouble = trouble or str(error)
                self._missing += error.lines
        if batch or trouble:
            self._report(trouble)

    def _line(self, finished: Outcome | str) -> str:
        return finished if isinstance(finished, str) else self._form(finished, self._query)

    def _report(self, trouble: str) -> None:
        """Log once when lines begin to be missing, and how many are missing when that is over."""
        if trouble and not self._failing:
            log.error("the access log cannot be written: %s", trouble)
        elif self._failing and not trouble:
            log.warning("the access log is written again; lines missing: %d", self._missing)
            self._missing = 0
        self._failing = bool(trouble)
