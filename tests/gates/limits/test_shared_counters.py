"""Counters in shared memory: all or none, bounded, mended after kills, and nobody's count is ever lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_limits import SlowLog

from pyproxycache import clock
from pyproxycache.gates.limits.counters import MOST_CHARGES, Charge, CountedLimit
from pyproxycache.gates.limits.fixed_window import FixedWindow
from pyproxycache.gates.limits.key_sets import WAYS
from pyproxycache.gates.limits.limit_rule import SECOND, LimitRule, Ruling, State
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.gates.limits.sliding_window import SLICES, SlidingWindow
from pyproxycache.gates.limits.token_bucket import TokenBucket

PER = 60 * SECOND
RULES: list[LimitRule] = [FixedWindow(3, PER), SlidingWindow(3, PER), TokenBucket(3, PER, 3)]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)


class Watch:
    """A clock that a test sets (microseconds)."""

    def __init__(self) -> None:
        self.now = 1000 * SECOND

    def __call__(self) -> float:
        return self.now / SECOND


def key(number: int) -> bytes:
    """A key as hashes are: any two differ in all their parts."""
    return (number * 0x9E3779B97F4A7C15 % (1 << 128)).to_bytes(16, "big")[::-1]


def in_another_process(work: Callable[[], object]) -> int | None:
    """Run it in a process made by fork, as a worker is; returns its exit code."""
    child = get_context("fork").Process(target=work)
    child.start()
    child.join()
    return child.exitcode


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def counted(counters: SharedCounters, limit: CountedLimit, number: int) -> int:
    """How many of three the key has used, without using one: a charge that is refused takes nothing."""
    full = CountedLimit("none", FixedWindow(0, PER), 1)
    assert full in counters.limits
    said = counters.take([Charge(limit, key(number)), Charge(full, key(0))])
    return 3 if said[0].wait else 2 - said[0].left


FULL = CountedLimit("none", FixedWindow(0, PER), 1)


@every_rule
def test_a_limit_passes_as_many_as_it_says(rule: LimitRule) -> None:
    limit, watch = CountedLimit("a", rule, 100), Watch()
    counters = SharedCounters([limit], watch)
    passed = [not counters.take([Charge(limit, key(1))])[0].wait for _ in range(5)]
    assert passed == [True] * 3 + [False] * 2
    assert not counters.take([Charge(limit, key(2))])[0].wait
    watch.now += 2 * PER
    assert not counters.take([Charge(limit, key(1))])[0].wait


@every_rule
def test_what_one_limit_refuses_is_not_counted_by_the_others(rule: LimitRule) -> None:
    wide, narrow = CountedLimit("wide", rule, 100), CountedLimit("narrow", FixedWindow(1, PER), 100)
    counters = SharedCounters([wide, narrow, FULL], Watch())
    both = [Charge(wide, key(1)), Charge(narrow, key(1))]
    assert [one.wait > 0 for one in counters.take(both)] == [False, False]
    for order in (both, both[::-1]) * 5:
        assert sorted(one.wait > 0 for one in counters.take(order)) == [False, True]
    assert counted(counters, wide, 1) == 1


@every_rule
def test_who_only_looks_is_told_what_a_charge_would_be_and_counted_by_nothing(rule: LimitRule) -> None:
    limit, watch = CountedLimit("a", rule, 100), Watch()
    counters = SharedCounters([limit], watch)
    for number in range(5):
        charges = [Charge(limit, key(1)), Charge(limit, key(100 + number))]
        looked = [counters.look(charges) for _ in range(20)]
        assert looked == [counters.take(charges)] * 20
        watch.now += 7
    # Keys that were only looked at take no places.
    for number in range(10 * WAYS):
        assert not counters.look([Charge(limit, key(number + 1000))])[0].wait


def test_no_key_of_a_refused_request_is_kept() -> None:
    """Keys that are only ever refused would else take the places of others."""
    limit = CountedLimit("a", FixedWindow(1, PER), WAYS)
    counters = SharedCounters([limit, FULL], Watch())
    for number in range(10 * WAYS):
        counters.take([Charge(limit, key(number)), Charge(FULL, key(0))])
    assert all(not counters.take([Charge(limit, key(number))])[0].wait for number in range(WAYS))


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=4),
            st.sampled_from([0, 0, 0, 1, PER // 7, PER // 2, PER]),
        ),
        max_size=60,
    )
)
def test_as_counters_in_a_dict_would(requests: list[tuple[list[tuple[int, int]], int]]) -> None:
    watch = Watch()
    limits = [CountedLimit(f"limit {number}", rule, 100) for number, rule in enumerate(RULES)]
    counters = SharedCounters(limits, watch)
    states: dict[tuple[int, int], State] = {}
    for charges, later in requests:
        watch.now += later
        said = counters.take([Charge(limits[of], key(number)) for of, number in charges])
        after, expected = dict(states), list[Ruling]()
        for of, number in charges:
            taken = RULES[of].take(after.get((of, number), RULES[of].none), watch.now)
            expected.append(taken)
            after[of, number] = taken.state
        assert [one.wait > 0 for one in said] == [one.wait > 0 for one in expected]
        if not any(one.wait for one in said):
            assert said == expected
            states = after


# More keys than a set has ways for.
KEYS = 2 * WAYS + 3


@st.composite
def crowds(draw: st.DrawFn) -> Sequence[tuple[int, int]]:
    """Keys that ask one after the other, and how much later: most of the time too many for the set."""
    early = [(number, 0) for number in draw(st.permutations(range(KEYS)))]
    more = st.tuples(
        st.integers(0, KEYS - 1), st.sampled_from([0, 0, 0, 0, 1, PER // 4, PER // 2, PER - 1, PER])
    )
    return early[: draw(st.integers(WAYS, KEYS))] + draw(st.lists(more, max_size=80))


@every_rule
@given(crowd=crowds())
def test_too_many_keys_give_none_more_than_the_limit(
    rule: LimitRule, crowd: Sequence[tuple[int, int]]
) -> None:
    limit, watch = CountedLimit("a", rule, WAYS), Watch()
    counters = SharedCounters([limit], watch)
    alone = {number: (SharedCounters([limit], watch)) for number, _later in crowd}
    for number, later in crowd:
        watch.now += later
        if counters.take([Charge(limit, key(number))])[0].wait:
            continue
        assert not alone[number].take([Charge(limit, key(number))])[0].wait, "it passed by the crowd"


@every_rule
def test_a_flood_of_keys_resets_nobody_and_takes_no_memory(rule: LimitRule) -> None:
    limit, watch = CountedLimit("a", rule, 4 * WAYS), Watch()
    counters = SharedCounters([limit], watch)
    for _ in range(3):
        assert not counters.take([Charge(limit, key(1))])[0].wait
    passed = sum(not counters.take([Charge(limit, key(number))])[0].wait for number in range(100, 20_000))
    # Each of the ways but one, and in each set those without one together.
    assert passed == 4 * WAYS - 1 + 4 * 3
    assert counters.take([Charge(limit, key(1))])[0].wait
    watch.now += 2 * PER
    assert not counters.take([Charge(limit, key(1))])[0].wait
    assert not counters.take([Charge(limit, key(101))])[0].wait


def test_a_flood_of_one_limit_leaves_the_others_alone() -> None:
    flooded, other = CountedLimit("a", RULES[0], WAYS), CountedLimit("b", RULES[0], WAYS)
    counters = SharedCounters([flooded, other], Watch())
    for number in range(1000):
        counters.take([Charge(flooded, key(number))])
    assert all(not counters.take([Charge(other, key(number))])[0].wait for number in range(WAYS))


def test_as_many_charges_as_a_request_may_cause() -> None:
    limits = [CountedLimit(str(number), FixedWindow(1, PER), 1) for number in range(MOST_CHARGES)]
    counters = SharedCounters([*limits, FULL], Watch())
    charges = [Charge(limit, key(1)) for limit in limits]
    assert any(one.wait for one in counters.take([*charges[1:], Charge(FULL, key(1))]))
    assert not any(one.wait for one in counters.take(charges))
    assert all(one.wait for one in counters.take(charges))


def test_what_a_worker_counts_all_workers_see_and_the_next_one_too() -> None:
    limit = CountedLimit("a", RULES[0], 100)
    counters = SharedCounters([limit], clock.steady)

    def use_one() -> None:
        assert not counters.take([Charge(limit, key(1))])[0].wait

    for _ in range(3):
        assert in_another_process(use_one) == 0
    assert counters.take([Charge(limit, key(1))])[0].wait


def test_a_worker_that_is_killed_with_the_lock_holds_up_nobody() -> None:
    limit = CountedLimit("a", RULES[0], 100)
    mine = os.getpid()

    def now() -> float:
        if os.getpid() != mine:
            killed()
        return clock.steady()

    counters = SharedCounters([limit, FULL], now)
    assert in_another_process(lambda: counters.take([Charge(limit, key(1))])) == -signal.SIGKILL
    assert counted(counters, limit, 1) == 0


class Deadly(FixedWindow):
    """A rule by which a process other than the test's own is killed."""

    mine = os.getpid()

    def take(self, state: State, now: int) -> Ruling:
        if os.getpid() != self.mine:
            killed()
        return super().take(state, now)


@pytest.mark.parametrize("before", [1, 2, 5])
@every_rule
def test_what_a_killed_worker_had_counted_half_is_taken_back(rule: LimitRule, before: int) -> None:
    limits = [CountedLimit(str(number), rule, 100) for number in range(before)]
    deadly = CountedLimit("deadly", Deadly(3, PER), 100)
    counters = SharedCounters([*limits, deadly, FULL], clock.steady)
    every = [Charge(limit, key(1)) for limit in (*limits, deadly)]
    counters.take(every)
    for _ in range(3):
        assert in_another_process(lambda: counters.take(every)) == -signal.SIGKILL
    for limit in (*limits, deadly):
        assert counted(counters, limit, 1) == 1
    new = [Charge(limit, key(2)) for limit in (*limits, deadly)]
    assert in_another_process(lambda: counters.take(new)) == -signal.SIGKILL
    for limit in (*limits, deadly):
        assert counted(counters, limit, 2) == 0


def test_an_error_between_changes_takes_all_of_them_back() -> None:
    class Failing(FixedWindow):
        def take(self, state: State, now: int) -> Ruling:
            raise ArithmeticError

    limit, failing = CountedLimit("a", RULES[0], 100), CountedLimit("b", Failing(1, PER), 100)
    counters = SharedCounters([limit, failing, FULL], Watch())
    for _ in range(5):
        with pytest.raises(ArithmeticError):
            counters.take([Charge(limit, key(1)), Charge(failing, key(1))])
    assert counted(counters, limit, 1) == 0


def test_keys_that_look_alike_in_memory_are_told_apart() -> None:
    """Tags are looked for as bytes: what begins inside another one is not found."""
    limit = CountedLimit("a", FixedWindow(1, PER), WAYS)
    counters = SharedCounters([limit], Watch())
    tags = Struct("<8s8s")
    one, other = b"abcdefgh", b"ijklmnop"
    for tag in (one, other, b"defghijk", b"hijklmno"):
        assert not counters.take([Charge(limit, tags.pack(tag, bytes(8)))])[0].wait
        assert counters.take([Charge(limit, tags.pack(tag, bytes(8)))])[0].wait


def test_the_sliding_window_of_a_crowd_is_a_whole_one() -> None:
    """Who gets a way after the crowd begins with what the crowd has used, and not with less."""
    rule, watch = SlidingWindow(3, PER), Watch()
    limit = CountedLimit("a", rule, WAYS)
    counters = SharedCounters([limit], watch)
    log = SlowLog(3, PER, PER + 2 * PER // SLICES)
    for number in range(WAYS):
        counters.take([Charge(limit, key(number))])
    for _ in range(100):
        watch.now += PER // 9
        if not counters.take([Charge(limit, key(WAYS))])[0].wait:
            assert not log.must_refuse(watch.now)
            log.note(watch.now)
