"""Reports finished requests to the counters, the access times of entries, the access log, and as events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pyproxycache.announced import Announced
from pyproxycache.background import Count
from pyproxycache.outcome import Outcome
from pyproxycache.report.access_log import AccessLog
from pyproxycache.report.counters import increments
from pyproxycache.report.events.events import Events
from pyproxycache.report.formats import Lines
from pyproxycache.report.metrics.request_metrics import RequestMetrics

NoteAccess = Callable[[int, float, int], None]
"""Takes an entry's id, when it was served last (epoch seconds), and how often."""


class GivenAgain(NamedTuple):
    """The same answer, out of an entry of the store, given so many times."""

    outcome: Outcome
    entry_id: int
    times: int


class Reporter:
    """Reports finished requests, one by one, or many with the same answer together."""

    def __init__(
        self,
        count: Count,
        note_access: NoteAccess,
        access_log: AccessLog | None,
        events: Events | None = None,
        metrics: RequestMetrics | None = None,
    ) -> None:
        """With `metrics` requests are counted there, too."""
        self._count = count
        self._note_access = note_access
        self._log = access_log
        self._events = events
        self._metrics = metrics

    @property
    def lines(self) -> Lines | None:
        """Makes lines for write(); None if there is no access log."""
        return None if self._log is None else self._log.lines

    def finished(self, outcome: Outcome) -> None:
        """Report a request that has ended."""
        self._count(increments(outcome))
        if self._metrics is not None:
            self._metrics.finished(outcome)
        if self._log is not None:
            self._log.write((outcome,))
        if outcome.announced is not None:
            self.announce(outcome, outcome.announced)

    def announce(self, outcome: Outcome, announced: Announced) -> None:
        """Have the event of a request sent whose outcome is reported otherwise, if events go anywhere."""
        if self._events is not None:
            self._events.put(outcome, announced)

    def accessed(self, entry_id: int, now: float) -> None:
        """Report that an entry was served, before finished() reports the request."""
        self._note_access(entry_id, now, 1)

    def repeated(self, given: Iterable[GivenAgain], now: float) -> None:
        """Report answers that were given again, at last at `now`; write() gets their lines for the log."""
        uses, counted = Counter[int](), Counter[str]()
        for outcome, entry_id, times in given:
            if entry_id:
                uses[entry_id] += times
            for name, value in increments(outcome).items():
                counted[name] += value * times
            if self._metrics is not None:
                self._metrics.repeated(outcome, times)
        for entry_id, times in uses.items():
            self._note_access(entry_id, now, times)
        self._count(counted)

    def write(self, lines: Iterable[str]) -> None:
        """Write finished lines to the access log."""
        if self._log is not None:
            self._log.write(lines)
