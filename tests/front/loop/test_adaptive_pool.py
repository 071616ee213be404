"""How many requests are answered at a time: as few as keep the processor busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from waiting import until

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.front.loop.adaptive_pool import AT_ONCE, AdaptivePool
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
    assert crowd.most <= 20  # at first AT_ONCE; a busy machine may hide for a moment that they compute


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


# Threads that say that they wait.


class Gate(Crowd):
    """Tasks that wait at a gate, and say so, before they do their work.

    `waiting` have come to it, `passed` want to work behind it.
    """

    def __init__(self, work: Callable[[], None] = lambda: None) -> None:
        super().__init__(work)
        self.opened = threading.Event()
        self.waiting = self.passed = 0

    def run(self) -> None:
        with self._changed:
            self.waiting += 1
            self._changed.notify_all()
        with Blocking():
            assert self.opened.wait(30)
            with self._changed:
                self.passed += 1
                self._changed.notify_all()
        super().run()

    def come(self, pool: AdaptivePool, count: int) -> None:
        for number in range(count):
            pool.submit(Task(self.run, f"10.0.0.{number}", ""))

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, 20)


def test_who_waits_leaves_the_place_to_another_one() -> None:
    """Nobody looks after the pool: it is not the wait itself that is found out."""
    pool, gate = AdaptivePool(64), Gate()
    gate.come(pool, 40)
    assert gate.wait_for(lambda: gate.waiting == 40)
    gate.opened.set()
    assert gate.wait_for(lambda: gate.done == 40)


def test_those_who_have_waited_work_few_at_a_time() -> None:
    pool, gate = AdaptivePool(64), Gate(lambda: compute(0.002))
    gate.come(pool, 40)
    assert gate.wait_for(lambda: gate.waiting == 40)
    gate.opened.set()
    assert gate.wait_for(lambda: gate.done == 40)
    assert gate.most <= AT_ONCE


def test_who_has_waited_goes_before_who_comes() -> None:
    order: list[str] = []
    pool, over = AdaptivePool(64), threading.Semaphore(0)
    gate, new = Gate(lambda: order.append("has waited")), Gate(lambda: order.append("new"))
    gate.come(pool, 1)
    assert gate.wait_for(lambda: gate.waiting == 1)
    for number in range(AT_ONCE):  # all places
        pool.submit(Task(lambda: over.acquire(timeout=30) and None, f"10.1.0.{number}", ""))
    gate.opened.set()
    until(lambda: pool.is_behind)
    new.opened.set()
    new.come(pool, 1)
    over.release()
    assert new.wait_for(lambda: new.done == 1)
    assert order == ["has waited", "new"]
    over.release(AT_ONCE)


def test_threads_of_one_client_that_have_waited_go_in_turn_with_another_client() -> None:
    order: list[str] = []
    pool, over = AdaptivePool(64), threading.Semaphore(0)
    gate = Gate(lambda: order.append("one of many"))
    for _ in range(20):
        pool.submit(Task(gate.run, "10.0.0.1", ""))
    assert gate.wait_for(lambda: gate.waiting == 20)
    for number in range(AT_ONCE):  # all places
        pool.submit(Task(lambda: over.acquire(timeout=30) and None, f"10.1.0.{number}", ""))
    gate.opened.set()
    assert gate.wait_for(lambda: gate.passed == 20)
    until(lambda: pool.is_behind)
    pool.submit(Task(lambda: order.append("alone"), "10.0.0.2", ""))
    over.release()
    assert gate.wait_for(lambda: gate.done == 20)
    assert "alone" in order[:4]
    over.release(AT_ONCE)


def test_no_more_threads_wait_than_there_may_be() -> None:
    pool, gate = AdaptivePool(5), Gate()
    gate.come(pool, 12)
    assert gate.wait_for(lambda: gate.waiting == 5)
    time.sleep(0.1)
    assert gate.waiting == 5
    gate.opened.set()
    assert gate.wait_for(lambda: gate.done == 12)


def test_who_has_waited_works_without_a_place_if_those_who_have_one_wait_for_him() -> None:
    pool, gate = AdaptivePool(64), Gate()
    gate.come(pool, 1)
    assert gate.wait_for(lambda: gate.waiting == 1)
    for number in range(AT_ONCE):
        pool.submit(Task(lambda: gate.wait_for(lambda: gate.done == 1) and None, f"10.1.0.{number}", ""))
    gate.opened.set()
    assert gate.wait_for(lambda: gate.done == 1)


def test_who_gives_way_goes_behind_all_who_wait() -> None:
    """As whoever is about to commit does, so that others may commit with him."""
    order: list[str] = []
    pool, over = AdaptivePool(64), threading.Semaphore(0)

    def give_way() -> None:
        over.acquire(timeout=30)
        with Blocking():
            pass
        order.append("gave way")

    for number in range(AT_ONCE):
        pool.submit(Task(give_way, f"10.1.0.{number}", ""))
    for number in range(3):
        pool.submit(Task(lambda: order.append("new"), f"10.2.0.{number}", ""))
    over.release()
    until(lambda: len(order) == 4)
    assert order == ["new", "new", "new", "gave way"]
    over.release(AT_ONCE)


def test_who_has_waited_is_let_run_if_those_who_have_places_wait_without_saying_so() -> None:
    pool, gate, over = AdaptivePool(64), Gate(), threading.Event()
    gate.come(pool, 1)
    assert gate.wait_for(lambda: gate.waiting == 1)
    for number in range(AT_ONCE):
        pool.submit(Task(lambda: bool(over.wait(30)) and None, f"10.1.0.{number}", ""))
    gate.opened.set()
    until(lambda: pool.is_behind)
    began = clock.steady()
    try:
        while gate.done == 0:
            time.sleep(0.002)
            pool.relieve(clock.steady())
        assert clock.steady() - began < 0.8  # it would go on by itself after a second
    finally:
        over.set()
