"""The request threads: as few run at a time as keep the processor busy."""

from __future__ import annotations

import contextlib
import logging
import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from pyproxycache import clock
from pyproxycache.front.loop.turns import Queue, Shares, Task, Turns, shares_of

log = logging.getLogger("pyproxycache")

_AT_ONCE = 8
_PATIENCE = 0.002
_STUCK = 0.05
_BUSY = 0.8


@dataclass(frozen=True, slots=True)
class _ProcessUse:
    """What this process has used so far: seconds of CPU time, and how often a core was taken from it."""

    computed: float
    taken_away: int

    @classmethod
    def now(cls) -> Self:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(used.ru_utime + used.ru_stime, used.ru_nivcsw)

    def is_busy_since(self, before: _ProcessUse, seconds: float) -> bool:
        """Whether the process computed for nearly all of these seconds, or others kept it from that."""
        return self.computed - before.computed > _BUSY * seconds or self.taken_away > before.taken_away


class AdaptivePool:
    """Runs tasks in up to `most` threads, as few at a time as keep the processor busy.

    More would only take the interpreter from one another. If tasks are queued while the processor is idle,
    or while none gets a thread, the running ones must be waiting for something, and more may run. Tasks
    that wait for origins are limited by `shares` (None: the usual ones), and take turns when these are used
    up. All fields are guarded by `_lock`.
    """

    def __init__(self, most: int, shares: Shares | None = None) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._tasks = Queue()
        self._turns = Turns(shares or shares_of(most, None, None))
        self._idle: list[_Thread] = []
        self._running = 0
        self._aside = 0  # threads that wait for their clients, beside those that run
        self._at_once = min(_AT_ONCE, most)
        self._taken = clock.steady()  # when a task last got a thread
        self._looked, self._usage = self._taken, _ProcessUse.now()

    @property
    def is_behind(self) -> bool:
        """Whether tasks are queued, so that relieve() is to be called every few milliseconds."""
        return len(self._tasks) > 0

    def submit(self, task: Task) -> None:
        """Have a thread run the task soon, in its turn if it has an origin; it must not raise."""
        with self._lock:
            if task.origin and not self._turns.take(task):
                self._turns.wait(task)
                return
            if self._running >= self._at_once:
                self._tasks.append(task, clock.steady())
                return
            self._running += 1
        self._give(task)

    def enter(self, task: Task, origin: str) -> bool:
        """Whether the running task may wait for this origin from now on; if not, nothing changes."""
        if task.origin == origin:
            return True
        turn = Task(task.run, task.client, origin)
        with self._lock:
            if not self._turns.take(turn):
                return False
            self._give_back(task)
            task.origin = origin
        return True

    @contextlib.contextmanager
    def aside(self, task: Task) -> Iterator[None]:
        """A context in which the task waits for its client: others get its place, and its origin's turn.

        At most `most` tasks are in it at a time; for further ones it has no effect.
        """
        more: list[Task] = []
        with self._lock:
            is_aside = self._aside < self._most
            if is_aside:
                self._aside += 1
                self._running -= 1
                self._give_back(task)
                more = self._next_ones()
        for other in more:
            self._give(other)
        try:
            yield
        finally:
            if is_aside:
                with self._lock:
                    self._aside -= 1
                    self._running += 1
                    if task.origin:
                        self._turns.come_back(task)

    def withdraw(self, task: Task) -> bool:
        """Withdraw the task if it waits for its turn at an origin; returns whether it did."""
        with self._lock:
            return self._turns.withdraw(task)

    def _give_back(self, task: Task) -> None:
        """End the task's turn at its origin, and queue the tasks that get theirs; with the lock held."""
        if task.origin:
            for following in self._turns.give_back(task):
                self._tasks.append(following, clock.steady())

    def _next_ones(self) -> list[Task]:
        """Take the queued tasks that may run now; with the lock held."""
        tasks = []
        while self._tasks and self._running < self._at_once:
            self._running += 1
            tasks.append(self._take())
        return tasks

    def _take(self) -> Task:
        """Take the next queued task; with the lock held."""
        self._taken = clock.steady()
        return self._tasks.popleft()

    def relieve(self, now: float) -> None:
        """Let more tasks run at a time if the running ones leave the processor idle, or do not get on.

        Called by the poller's thread alone; `now` is in monotonic seconds.
        """
        with self._lock:
            if not self._tasks:
                return
            is_first_look = self._looked < self._tasks.since
            if not is_first_look and now - self._looked < _PATIENCE:
                return
            usage = _ProcessUse.now()
            is_busy = usage.is_busy_since(self._usage, now - self._looked)
            self._looked, self._usage = now, usage
            if is_first_look or (is_busy and now - self._taken < _STUCK):
                return
            self._at_once = min(self._most, self._at_once * 3 // 2 + 1)
            tasks = self._next_ones()
        for task in tasks:
            self._give(task)

    def settle(self) -> None:
        """Let fewer tasks run at a time if fewer will do; called about once a second."""
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
        except RuntimeError as error:  # the system allows no more threads: the existing ones do the work
            log.warning("no further thread for requests: %s", error)
            with self._lock:
                self._running -= 1
                self._at_once = max(1, self._running)
                self._tasks.append(task, clock.steady())

    def next_task(self, thread: _Thread, done: Task) -> Task | None:
        """The next task of a thread that is done with one; None: the thread waits until it is given one."""
        more: list[Task] = []
        with self._lock:
            self._give_back(done)
            if self._tasks and self._running <= self._at_once:
                task = self._take()
                more = self._next_ones()
            else:
                task = None
                self._running -= 1
                self._idle.append(thread)  # whoever worked last works next: its memory is at hand
        for other in more:
            self._give(other)
        return task


class _Thread:
    """One thread of the pool, and the task that it runs next."""

    def __init__(self, threads: AdaptivePool, task: Task) -> None:
        self._threads = threads
        self._task = task
        self._given = threading.Lock()  # released when there is a task
        self._given.acquire()

    def start(self) -> None:
        threading.Thread(target=self._run, name="request", daemon=True).start()

    def go_on(self, task: Task) -> None:
        self._task = task
        self._given.release()

    def _run(self) -> None:
        while True:
            try:
                self._task.run()
            except Exception:
                log.exception("a request failed inside the cache")
            task = self._threads.next_task(self, self._task)
            if task is None:
                self._given.acquire()
            else:
                self._task = task
