"""Which of many answers are kept."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict
from collections.abc import Iterable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pyproxycache.front.memory.s3fifo import S3Fifo


class Thing:
    """Something kept."""

    def __init__(self, name: int, size: int = 1) -> None:
        self.name, self.size = name, size
        self.uses = 0
        self.is_kept = False


class Cache:
    """Things by name, kept as the policy says."""

    def __init__(self, capacity: int) -> None:
        self.things: dict[int, Thing] = {}
        self.policy: S3Fifo[Thing] = S3Fifo(capacity, self._evicted)
        self.evicted: list[int] = []

    def ask(self, name: int, size: int = 1) -> bool:
        """Whether it is there; if not it is from here on."""
        if name in self.things:
            self.things[name].uses += 1
            return True
        self.things[name] = thing = Thing(name, size)
        self.policy.add(name, thing)
        return False

    def discard(self, name: int) -> None:
        self.policy.discard(self.things.pop(name))

    def _evicted(self, thing: Thing) -> None:
        self.evicted.append(thing.name)
        assert self.things.pop(thing.name) is thing


def lru_hits(names: Iterable[int], capacity: int) -> int:
    kept: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for name in names:
        hits += name in kept
        kept[name] = None
        kept.move_to_end(name)
        if len(kept) > capacity:
            kept.popitem(last=False)
    return hits


def test_what_is_used_outlives_a_scan_that_empties_lru() -> None:
    hot = [name for _ in range(3) for name in range(50)]
    scan = list(range(1000, 2000))
    cache = Cache(100)
    for name in hot + scan:
        cache.ask(name)
    assert [cache.ask(name) for name in range(50)] == [True] * 50
    assert lru_hits(hot + scan + list(range(50)), 100) == 100  # those before the scan alone


def test_what_comes_back_soon_after_it_went_is_kept_with_the_used() -> None:
    cache = Cache(100)
    for name in range(150):
        cache.ask(name)
    gone = cache.evicted[-1]
    assert not cache.ask(gone)
    for name in range(1000, 1089):
        cache.ask(name)
    assert cache.ask(gone)


def test_what_is_too_large_is_not_kept_and_costs_nothing() -> None:
    cache = Cache(100)
    for name in range(50):
        cache.ask(name)
    assert not cache.ask(99, size=11)
    assert (cache.evicted, cache.policy.used, len(cache.things)) == ([99], 50, 50)
    assert not cache.ask(98, size=10)
    assert cache.ask(98)


def test_what_was_discarded_is_held_no_more() -> None:
    """Answers that are replaced again and again, as a short-lived one is, take no room."""
    cache = Cache(1000)
    gone = []
    for _ in range(100):
        cache.ask(1)
        gone.append(weakref.ref(cache.things[1]))
        cache.discard(1)
    gc.collect()
    assert [thing for thing in gone if thing() is not None] == []
    assert cache.policy.used == 0


def test_discarding_twice_counts_once() -> None:
    cache = Cache(100)
    cache.ask(1, 5)
    thing = cache.things[1]
    cache.discard(1)
    cache.policy.discard(thing)
    assert (cache.policy.used, cache.evicted) == (0, [])


class Machine(RuleBasedStateMachine):
    """Never more than the capacity, and what is kept is what was not evicted."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache(60)

    @rule(name=st.integers(0, 40), size=st.integers(1, 8))
    def ask(self, name: int, size: int) -> None:
        self.cache.ask(name, size)

    @rule(names=st.lists(st.integers(0, 40), max_size=10))
    def discard(self, names: list[int]) -> None:
        for name in names:
            if name in self.cache.things:
                self.cache.discard(name)

    @invariant()
    def it_holds_what_it_says(self) -> None:
        things = self.cache.things.values()
        assert all(thing.is_kept for thing in things)
        assert sum(thing.size for thing in things) == self.cache.policy.used <= 60


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=60)
TestNeverTooMuch = Machine.TestCase
