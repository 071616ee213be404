"""What is told of requests: counters, accesses, and the access log."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyproxycache.outcome import Outcome
from pyproxycache.report.access_log import AccessLog
from pyproxycache.report.counters import increments
from pyproxycache.report.formats import Lines


class Reporter:
    """Tells of finished requests, one by one, or many that got the same answer."""

    def __init__(
        self,
        count: Callable[[dict[str, int]], None],
        note_access: Callable[[int, float, int], None],
        access_log: AccessLog | None,
    ) -> None:
        """`note_access`: an entry's id, when it was served last (epoch seconds), and how often."""
        self._count = count
        self._note_access = note_access
        self._log = access_log

    @property
    def lines(self) -> Lines | None:
        """How the access log's lines are made, for `write`; None where there is no log."""
        return None if self._log is None else self._log.lines

    def finished(self, outcome: Outcome) -> None:
        """A request came to its end."""
        self._count(increments(outcome))
        if self._log is not None:
            self._log.write((outcome,))

    def accessed(self, entry_id: int, now: float) -> None:
        """An entry was served, of which `finished` tells the rest later."""
        self._note_access(entry_id, now, 1)

    def repeated(self, outcome: Outcome, entry_id: int, times: int, now: float) -> None:
        """An entry was served so many times with this outcome; its lines for the log come by `write`."""
        self._note_access(entry_id, now, times)
        self._count({name: value * times for name, value in increments(outcome).items()})

    def write(self, lines: Iterable[str]) -> None:
        """Lines for the access log."""
        if self._log is not None:
            self._log.write(lines)
