"""The threads that requests are answered in, where memory does not do."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from pyproxycache import clock

log = logging.getLogger("pyproxycache")

_AT_ONCE = 8
_PATIENCE = 0.002
_LONG = 0.05
_BUSY = 0.8

Task = Callable[[], None]


class Threads:
    """Up to `most` threads; as few of them at a time as keep the processor busy.

    More would only take the interpreter from one another. Where tasks wait although there is time to
    compute, those that run must be waiting for something else, and more are let run. All fields are
    guarded by `_lock`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._tasks: deque[tuple[Task, float]] = deque()  # and since when they wait (monotonic)
        self._idle: list[_Thread] = []
        self._running = 0
        self._at_once = min(_AT_ONCE, most)
        self._looked, self._computed = clock.steady(), time.process_time()

    @property
    def is_behind(self) -> bool:
        """Whether tasks wait, and `relieve` is to be called every few milliseconds."""
        return bool(self._tasks)

    def submit(self, task: Task) -> None:
        """Have the task run soon; it is to raise nothing."""
        with self._lock:
            if self._running >= self._at_once:
                self._tasks.append((task, clock.steady()))
                return
            self._running += 1
        self._give(task)

    def relieve(self, now: float) -> None:
        """Let more tasks run at a time if those that run do not keep the processor busy."""
        with self._lock:
            seconds = now - self._looked
            if not self._tasks or seconds < _PATIENCE:
                return
            computed = time.process_time()
            is_busy = computed - self._computed > _BUSY * seconds
            self._looked, self._computed = now, computed
            waited = now - self._tasks[0][1]
            if waited < (_LONG if is_busy else _PATIENCE):
                return
            self._at_once = min(self._most, self._at_once * 3 // 2 + 1)
            free = min(self._at_once - self._running, len(self._tasks))
            tasks = [self._tasks.popleft()[0] for _ in range(free)]
            self._running += len(tasks)
        for task in tasks:
            self._give(task)

    def settle(self) -> None:
        """About once a second: let fewer run at a time where so many are not needed."""
        with self._lock:
            if not self._tasks and self._running < self._at_once // 2:
                self._at_once = max(min(_AT_ONCE, self._most), self._at_once // 2)

    def _give(self, task: Task) -> None:
        with self._lock:
            thread = self._idle.pop() if self._idle else None
        if thread is not None:
            thread.go_on(task)
            return
        try:
            _Thread(self, task).start()
        except RuntimeError as error:  # the system has no more: those there are do the work
            log.warning("no further thread for requests: %s", error)
            with self._lock:
                self._running -= 1
                self._at_once = max(1, self._running)
                self._tasks.append((task, clock.steady()))

    def next_task(self, thread: _Thread) -> Task | None:
        """What the thread is to do next; None to wait for that."""
        with self._lock:
            if self._tasks and self._running <= self._at_once:
                return self._tasks.popleft()[0]
            self._running -= 1
            self._idle.append(thread)  # whoever worked last works next: its memory is at hand
            return None


class _Thread:
    """One thread, and what it is to do next."""

    def __init__(self, threads: Threads, task: Task) -> None:
        self._threads = threads
        self._task = task
        self._given = threading.Lock()  # let go of once there is a task
        self._given.acquire()

    def start(self) -> None:
        threading.Thread(target=self._run, name="request", daemon=True).start()

    def go_on(self, task: Task) -> None:
        self._task = task
        self._given.release()

    def _run(self) -> None:
        while True:
            try:
                self._task()
            except Exception:
                log.exception("a request failed inside the cache")
            task = self._threads.next_task(self)
            if task is None:
                self._given.acquire()
            else:
                self._task = task
