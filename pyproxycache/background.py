"""Work that no request waits for: it goes on whatever fails in it, and what failed is told."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence

from pyproxycache import clock
from pyproxycache.errors import ProxyError

_QUIET_SECONDS = 60.0
_ROUND_SECONDS = 2.0
_EXPECTED = (OSError, sqlite3.Error, ProxyError)

Count = Callable[[dict[str, int]], None]
Chore = Callable[[], object]


class Background:
    """Runs the steps of one kind of work; belongs to the thread that does it.

    Each error is counted as `errors.NAME`, and logged: of each step at most once a minute.
    """

    def __init__(self, name: str, log: logging.Logger, count: Count) -> None:
        self._name = name
        self._log = log
        self._count = count
        self._told: dict[str, tuple[float, int]] = {}  # when, and how many errors were not told since

    def survives(self, step: Callable[[], object]) -> bool:
        """Do the step; whether it went well."""
        try:
            step()
        except Exception as error:
            self._tell(getattr(step, "__qualname__", self._name), error)
            return False
        return True

    def _tell(self, step: str, error: Exception) -> None:
        self._count({f"errors.{self._name}": 1})
        now = clock.steady()
        at, untold = self._told.get(step, (float("-inf"), 0))
        if now - at < _QUIET_SECONDS:
            self._told[step] = at, untold + 1
            return
        self._told[step] = now, 0
        before = f" (as it did {untold} times since this was said last)" if untold else ""
        # What a full disk or a lost folder says is enough; all else is ours to mend.
        trace = None if isinstance(error, _EXPECTED) else error
        self._log.error("%s failed%s: %s", step, before, str(error) or type(error).__name__, exc_info=trace)


class Rounds:
    """A thread that does chores every two seconds, in this order; one that fails stops no other."""

    def __init__(self, chores: Sequence[Chore], background: Background) -> None:
        self._chores = chores
        self._background = background
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Returns once the chore that is being done is over."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(_ROUND_SECONDS):
            for chore in self._chores:
                self._background.survives(chore)


def tell_of_lost_threads(log: logging.Logger) -> None:
    """Have it logged where a thread of this process ends by an error."""

    def tell(lost: threading.ExceptHookArgs) -> None:
        name = lost.thread.name if lost.thread is not None else "of no name"
        log.error("the thread %s ended by an error", name, exc_info=lost.exc_value)

    threading.excepthook = tell
