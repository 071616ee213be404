"""Threads for bodies: each task runs at once, on a kept thread where one is free."""

import threading

from waiting import until

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
    for _ in range(4):
        pool.run(tasks.run)
        assert tasks.begun.acquire(timeout=10)
        tasks.go_on.release()
        until(lambda: pool.idle == 1)
    assert len(set(tasks.ran_on)) == 1


def test_a_task_that_fails_takes_no_thread_with_it() -> None:
    pool, done = KeptThreads("fails"), threading.Event()

    def fail() -> None:
        raise ValueError

    pool.run(fail)
    pool.run(done.set)
    assert done.wait(10)


def test_threads_that_nobody_needs_end() -> None:
    pool, tasks = KeptThreads("ends", patience=0.01), Tasks()
    pool.run(tasks.run)
    assert tasks.begun.acquire(timeout=10)
    (thread,) = named("ends")
    tasks.go_on.release()
    thread.join(10)
    assert not thread.is_alive()
    tasks.go_on.release()
    pool.run(tasks.run)
    assert tasks.begun.acquire(timeout=10)
