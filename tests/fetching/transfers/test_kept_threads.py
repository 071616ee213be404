"""Threads for bodies: each task runs at once, on a kept thread where one is free."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from pyproxycache.fetching.transfers import kept_threads as threads
from pyproxycache.fetching.transfers.kept_threads import KeptThreads


class Tasks:
    """Tasks that say on which thread they run, and end when they are told to."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.ran_on: list[int] = []

    def run(self) -> None:
        self.ran_on.append(threading.get_ident())
        self.begun.release()
        assert self.go_on.acquire(timeout=10)


class Waits:
    """The queue of tasks, which tells when a thread waits for one."""

    def __init__(self) -> None:
        self.waiting = threading.Semaphore(0)
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def put(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)

    def get(self, timeout: float | None = None) -> Callable[[], None]:
        self.waiting.release()
        return self._tasks.get(timeout=timeout)


def named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_none_waits_for_another() -> None:
    pool, tasks = KeptThreads("at-once"), Tasks()
    for _ in range(5):
        pool.run(tasks.run)
        assert tasks.begun.acquire(timeout=10)
    assert len(set(tasks.ran_on)) == 5
    tasks.go_on.release(5)


def test_a_free_thread_is_used_again() -> None:
    pool, tasks = KeptThreads("again"), Tasks()
    waits = Waits()
    pool._tasks = waits  # type: ignore[assignment]
    for _ in range(4):
        pool.run(tasks.run)
        assert tasks.begun.acquire(timeout=10)
        tasks.go_on.release()
        assert waits.waiting.acquire(timeout=10)
    assert len(set(tasks.ran_on)) == 1


def test_a_task_that_fails_takes_no_thread_with_it() -> None:
    pool, done = KeptThreads("fails"), threading.Event()

    def fail() -> None:
        raise ValueError

    pool.run(fail)
    pool.run(done.set)
    assert done.wait(10)


def test_threads_that_nobody_needs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_KEPT_SECONDS", 0.01)
    pool, tasks = KeptThreads("ends"), Tasks()
    pool.run(tasks.run)
    assert tasks.begun.acquire(timeout=10)
    (thread,) = named("ends")
    tasks.go_on.release()
    thread.join(10)
    assert not thread.is_alive()
    tasks.go_on.release()
    pool.run(tasks.run)
    assert tasks.begun.acquire(timeout=10)
