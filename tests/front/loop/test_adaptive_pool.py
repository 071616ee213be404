"""How many requests are answered at a time: as few as keep the processor busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pyproxycache import clock
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.turns import Task


class Crowd:
    """Tasks that all do the same; `most` ran at a time. Guarded by `_changed`."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._changed = threading.Condition()
        self._running = self.most = self.done = 0

    def run(self) -> None:
        with self._changed:
            self._running += 1
            self.most = max(self.most, self._running)
        self._work()
        with self._changed:
            self._running -= 1
            self.done += 1
            self._changed.notify_all()

    def served(self, pool: AdaptivePool, count: int, pause: Callable[[float], None] = time.sleep) -> float:
        """Seconds until so many were done, with the pool looked after as the poller does."""
        began = clock.steady()
        for number in range(count):
            pool.submit(Task(self.run, f"10.0.0.{number}", ""))
        while self.done < count:
            pause(0.002)
            pool.relieve(clock.steady())
        return clock.steady() - began


def compute(seconds: float) -> None:
    """For so long by the thread's own clock."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_tasks_that_compute_have_few_threads() -> None:
    crowd = Crowd(lambda: compute(0.002))
    crowd.served(AdaptivePool(64), 200)
    assert crowd.most <= 20  # at first 8; a busy machine may hide for a moment that they compute


def test_tasks_that_wait_get_more_threads() -> None:
    crowd = Crowd(lambda: time.sleep(0.5))
    assert crowd.served(AdaptivePool(64), 60) < 4 * 0.5
    assert crowd.most >= 30


def test_tasks_that_wait_get_more_threads_though_another_thread_computes() -> None:
    crowd = Crowd(lambda: time.sleep(1.0))
    assert crowd.served(AdaptivePool(64), 30, compute) < 5.0
    assert crowd.most > 8


def test_few_slow_ones_do_not_hold_up_the_rest() -> None:
    """Eight wait for long, and those behind them are soon done."""
    pool, over = AdaptivePool(64), threading.Event()
    slow = Crowd(lambda: bool(over.wait(30)) and None)
    for number in range(8):
        pool.submit(Task(slow.run, f"10.1.0.{number}", ""))
    try:
        assert Crowd(lambda: compute(0.001)).served(pool, 50) < 5.0
    finally:
        over.set()
