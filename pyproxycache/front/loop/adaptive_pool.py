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
from pyproxycache.blocking import work_in
from pyproxycache.front.loop.turns import Queue, Returning, Shares, Task, Turns, shares_of

log = logging.getLogger("pyproxycache")

AT_ONCE = 2
"""Threads that work while the processor is busy: one has the interpreter, others are in system calls."""
PATIENCE = 0.01
"""Seconds between two looks at whether more tasks should run."""
_STUCK = 0.25
_BUSY = 0.8
_LONGEST_RETURN = 1.0
"""Seconds after which a thread that has waited works without a place: whoever has one may wait for it."""


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

    More would only take the interpreter from one another, and from the poller. A thread that says that it
    waits (see `blocking`) leaves its place to another one, and gets one again in its turn. If tasks are
    queued while the processor is idle, or while none gets a thread, the running ones must be waiting
    without saying so, and more may run. Tasks that wait for origins are limited by `shares` (None: the
    usual ones), and take turns when these are used up. All fields are guarded by `_lock`.
    """

    def __init__(self, most: int, shares: Shares | None = None) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._queue = Queue()
        self._turns = Turns(shares or shares_of(most, None, None))
        self._idle: list[_Thread] = []
        self._running = 0
        self._away = 0  # threads that wait, beside those that run
        self._aside = 0  # those of them that wait for their clients
        self._returning = 0  # threads that have waited, and wait for a place
        self._at_once = self._fewest = min(AT_ONCE, most)
        self._taken = clock.steady()  # when a task or a thread last got a place
        self._looked, self._usage = self._taken, _ProcessUse.now()

    @property
    def is_behind(self) -> bool:
        """Whether tasks or threads wait for a place, so that relieve() is to be called every PATIENCE."""
        return bool(self._queue)

    def submit(self, task: Task) -> None:
        """Have a thread run the task soon, in its turn if it has an origin; it must not raise."""
        with self._lock:
            if task.origin and not self._turns.take(task):
                self._turns.wait(task)
                return
            if not self._has_place():
                self._queue.append(task, clock.steady())
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
        with self._lock:
            is_aside = self._aside < self._most
            if is_aside:
                self._aside += 1
                self._give_back(task)
        if not is_aside:
            yield
            return
        self.leave()
        try:
            yield
        finally:
            self.come_back(task.client)
            with self._lock:
                self._aside -= 1
                if task.origin:
                    self._turns.come_back(task)

    def leave(self) -> None:
        """Give up the place of this thread, which is going to wait, for another one."""
        with self._lock:
            self._running -= 1
            self._away += 1
            more = self._next_ones()
        for task in more:
            self._give(task)

    def come_back(self, client: str) -> None:
        """Wait for a place for this thread, which has waited for what the client's task left for."""
        with self._lock:
            self._away -= 1
            if self._running < self._at_once:
                self._running += 1
                return
            returning = Returning(client)
            self._queue.come_back(returning, clock.steady())
            self._returning += 1
        if returning.has_place.acquire(timeout=_LONGEST_RETURN):
            return
        with self._lock:
            if self._queue.withdraw(returning):
                self._returning -= 1
                self._running += 1

    def withdraw(self, task: Task) -> bool:
        """Withdraw the task if it waits for its turn at an origin; returns whether it did."""
        with self._lock:
            return self._turns.withdraw(task)

    def _give_back(self, task: Task) -> None:
        """End the task's turn at its origin, and queue the tasks that get theirs; with the lock held."""
        if task.origin:
            for following in self._turns.give_back(task):
                self._queue.append(following, clock.steady())

    def _has_place(self) -> bool:
        """Whether there is a place and a thread for a further task; with the lock held."""
        threads = self._running + self._away + self._returning - self._aside
        return self._running < self._at_once and threads < self._most

    def _next_ones(self) -> list[Task]:
        """Give free places to threads that have waited, and to tasks, taking these; with the lock held."""
        tasks: list[Task] = []
        while self._running < self._at_once:
            following = self._queue.popleft(may_begin=self._has_place())
            if following is None:
                break
            self._taken = clock.steady()
            self._running += 1
            if isinstance(following, Task):
                tasks.append(following)
            else:
                self._returning -= 1
                following.has_place.release()
        return tasks

    def relieve(self, now: float) -> None:
        """Let more tasks run at a time if the running ones leave the processor idle, else fewer.

        More also if they do not get on. Called by the poller's thread alone; `now` is in monotonic seconds.
        """
        with self._lock:
            if not self.is_behind:
                return
            is_first_look = self._looked < self._queue.since
            if not is_first_look and now - self._looked < PATIENCE:
                return
            usage = _ProcessUse.now()
            is_busy = usage.is_busy_since(self._usage, now - self._looked)
            self._looked, self._usage = now, usage
            if is_first_look:
                return
            if is_busy and now - self._taken < _STUCK:
                self._at_once = max(self._fewest, self._at_once - 1)
                return
            self._at_once = min(self._most, self._at_once * 3 // 2 + 1)
            tasks = self._next_ones()
        for task in tasks:
            self._give(task)

    def settle(self) -> None:
        """Let fewer tasks run at a time if fewer will do; called about once a second."""
        with self._lock:
            if not self.is_behind and self._running < self._at_once // 2:
                self._at_once = max(self._fewest, self._at_once // 2)

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
                self._queue.append(task, clock.steady())

    def next_task(self, thread: _Thread, done: Task) -> Task | None:
        """The next task of a thread that is done with one; None: the thread waits until it is given one."""
        with self._lock:
            self._give_back(done)
            self._running -= 1
            tasks = self._next_ones()
            if not tasks:
                self._idle.append(thread)  # whoever worked last works next: its memory is at hand
        for other in tasks[1:]:
            self._give(other)
        return tasks[0] if tasks else None


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

    def leave(self) -> None:
        self._threads.leave()

    def come_back(self) -> None:
        self._threads.come_back(self._task.client)

    def _run(self) -> None:
        work_in(self)
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
