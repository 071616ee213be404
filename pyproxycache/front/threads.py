"""The threads that requests are answered in, where memory does not do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

log = logging.getLogger("pyproxycache")


class Threads:
    """Up to `most` threads, started when all others are busy and kept; tasks beyond that wait their turn.

    `_idle` (threads that wait for a task, less tasks that wait for one) and `_count` are guarded by
    `_lock`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = 0
        self._count = 0

    def submit(self, task: Callable[[], None]) -> None:
        """Have the task run as soon as a thread is free; it is to raise nothing."""
        with self._lock:
            self._idle -= 1
            needed = self._idle < 0 and self._count < self._most
            if needed:
                self._count += 1
                self._idle += 1
        self._tasks.put(task)
        if needed:
            self._start()

    def warm_up(self, count: int, ready: Callable[[], None]) -> None:
        """Start threads before the first burst of requests has to; each calls `ready`."""
        for _ in range(min(count, self._most)):
            with self._lock:
                self._count += 1
            self._start(ready)

    def _start(self, ready: Callable[[], None] | None = None) -> None:
        try:
            threading.Thread(target=self._run, args=(ready,), name="request", daemon=True).start()
        except RuntimeError as error:  # the system has no more: those there are do the work
            with self._lock:
                self._count -= 1
                self._idle -= ready is None
            log.warning("no further thread for requests: %s", error)

    def _run(self, ready: Callable[[], None] | None) -> None:
        if ready is not None:
            ready()
            with self._lock:
                self._idle += 1
        while True:
            task = self._tasks.get()
            try:
                task()
            except Exception:
                log.exception("a request failed inside the cache")
            with self._lock:
                self._idle += 1
