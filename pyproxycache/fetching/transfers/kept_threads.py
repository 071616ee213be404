"""Threads for bodies: kept for a while, because a new one costs as much as a small body."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger("pyproxycache.fetching")


class KeptThreads:
    """Runs each task at once, on a thread that has become free or on a new one.

    A thread that has had no task for `patience` seconds ends. `_idle` is guarded by `_lock`.
    """

    def __init__(self, name: str, patience: float = 10.0) -> None:
        self._name = name
        self._patience = patience
        self._lock = threading.Lock()
        self._idle = 0  # threads that wait and have been promised no task
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    @property
    def idle(self) -> int:
        """How many threads wait for a task."""
        return self._idle

    def run(self, task: Callable[[], None]) -> None:
        """Run the task at once; raises RuntimeError if no more threads can be made."""
        with self._lock:
            waits = self._idle > 0
            self._idle -= waits
        if waits:
            self._tasks.put(task)
        else:
            threading.Thread(target=self._work, args=(task,), name=self._name, daemon=True).start()

    def _work(self, task: Callable[[], None] | None) -> None:
        while task is not None:
            try:
                task()
            except Exception:
                log.exception("a task of the thread %s failed", self._name)
            task = self._next()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            self._idle += 1
        try:
            return self._tasks.get(timeout=self._patience)
        except queue.Empty:
            pass
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
                return None
        return self._tasks.get()  # promised to this one or to another that waits, and on its way
