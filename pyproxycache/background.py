"""Background work, which goes on after errors; they are counted and logged."""

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
    """Runs the steps of one kind of background work and handles their errors; used by one thread.

    Each error is counted as `errors.NAME`, and logged at most once a minute for each step.
    """

    def __init__(self, name: str, log: logging.Logger, count: Count) -> None:
        self._name = name
        self._log = log
        self._count = count
        # By step: when it was logged last (monotonic), and how many errors were not logged since.
        self._logged: dict[str, tuple[float, int]] = {}

    def attempt(self, step: Callable[[], object]) -> bool:
        """Run the step and handle its error; returns whether it succeeded."""
        try:
            step()
        except Exception as error:
            self._report(getattr(step, "__qualname__", self._name), error)
            return False
        return True

    def _report(self, step: str, error: Exception) -> None:
        self._count({f"errors.{self._name}": 1})
        now = clock.steady()
        at, unlogged = self._logged.get(step, (float("-inf"), 0))
        if now - at < _QUIET_SECONDS:
            self._logged[step] = at, unlogged + 1
            return
        self._logged[step] = now, 0
        before = f" (as it did {unlogged} times since this was said last)" if unlogged else ""
        # A full disk or a lost folder needs no traceback; any other error is a bug.
        trace = None if isinstance(error, _EXPECTED) else error
        self._log.error("%s failed%s: %s", step, before, str(error) or type(error).__name__, exc_info=trace)


class Rounds:
    """A thread that runs the chores again and again, in this order; a failing one stops no other.

    Between the rounds it rests for `seconds`.
    """

    def __init__(
        self,
        chores: Sequence[Chore],
        background: Background,
        name: str = "housekeeping",
        seconds: float = _ROUND_SECONDS,
    ) -> None:
        self._chores = chores
        self._background = background
        self._stopped = threading.Event()
        self._seconds = seconds
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; returns when the running chore has finished."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            for chore in self._chores:
                self._background.attempt(chore)


def tell_of_lost_threads(log: logging.Logger) -> None:
    """Log each thread of this process that ends by an uncaught error."""

    def tell(lost: threading.ExceptHookArgs) -> None:
        name = lost.thread.name if lost.thread is not None else "of no name"
        log.error("the thread %s ended by an error", name, exc_info=lost.exc_value)

    threading.excepthook = tell
