"""The three rules of limits, each judged by a slow one, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_limits import SlowBucket, SlowLog, SlowWindow

from pyproxycache.gates.limits.fixed_window import FixedWindow
from pyproxycache.gates.limits.limit_rule import ROOM, SECOND, LimitRule, State
from pyproxycache.gates.limits.sliding_window import SLICES, SlidingWindow
from pyproxycache.gates.limits.token_bucket import TokenBucket

COUNTS = st.integers(1, 7)
PERS = st.sampled_from([20, 97, 1000, SECOND, 60 * SECOND])
BEGIN = 5_000 * SECOND


@st.composite
def rules(draw: st.DrawFn) -> LimitRule:
    count, per = draw(COUNTS), draw(PERS)
    return draw(
        st.sampled_from(
            [FixedWindow(count, per), SlidingWindow(count, per), TokenBucket(count, per, draw(COUNTS))]
        )
    )


@st.composite
def timed(draw: st.DrawFn) -> tuple[LimitRule, Sequence[int]]:
    """A rule, and times of requests of which many lie at the edges of what it counts by."""
    rule = draw(rules())
    steps = st.one_of(
        st.integers(0, 2 * rule.per),
        st.sampled_from([0, 1, rule.per - 1, rule.per, rule.per + 1, rule.per // SLICES]),
        st.integers(0, 3).map(lambda part: part * rule.per // rule.count),
    )
    return rule, list(accumulate(draw(st.lists(steps, min_size=1, max_size=60)), initial=BEGIN))


def asked(rule: LimitRule, times: Sequence[int]) -> tuple[list[bool], State]:
    """Which of the requests pass, and what is kept in the end."""
    state, passed = rule.none, []
    for now in times:
        taken = rule.take(state, now)
        passed.append(not taken.wait)
        state = state if taken.wait else taken.state
    return passed, state


@given(timed())
def test_each_decides_as_the_slow_one(case: tuple[LimitRule, Sequence[int]]) -> None:
    rule, times = case
    passed, _state = asked(rule, times)
    if isinstance(rule, FixedWindow):
        window = SlowWindow(rule.count, rule.per)
        assert passed == [window.passes(now) for now in times]
    elif isinstance(rule, TokenBucket):
        bucket = SlowBucket(rule.count, rule.per, rule.burst)
        assert passed == [bucket.passes(now) for now in times]
    else:
        size = -(-rule.per // SLICES)
        log = SlowLog(rule.count, rule.per, (SLICES + 1) * size)
        for now, passes in zip(times, passed, strict=True):
            assert not passes or not log.must_refuse(now), "more than the count in a time of this length"
            assert passes or log.may_refuse(now), "refused for what came more than a slice before"
            if passes:
                log.note(now)


@given(timed())
def test_who_waits_as_told_passes_and_not_before(case: tuple[LimitRule, Sequence[int]]) -> None:
    rule, times = case
    state = rule.none
    for now in times:
        taken = rule.take(state, now)
        if taken.wait:
            assert taken.wait > 0
            assert taken.state == state
            assert rule.take(state, now + taken.wait - 1).wait == 1
            assert not rule.take(state, now + taken.wait).wait
        else:
            state = taken.state


@given(timed())
def test_as_many_as_are_told_pass_at_once_and_more_after_the_reset(
    case: tuple[LimitRule, Sequence[int]],
) -> None:
    rule, times = case
    state = rule.none
    for now in times:
        taken = rule.take(state, now)
        if taken.wait:
            continue
        state = taken.state
        passed, _after = asked_from(rule, state, [now] * (taken.left + 1))
        assert passed == [True] * taken.left + [False]
        for then, left in ((now + taken.reset - 1, taken.left), (now + taken.reset, taken.left + 1)):
            passed, _after = asked_from(rule, state, [then] * (left + 1))
            assert passed[:left] == [True] * left
            assert then == now + taken.reset or not passed[left]


def asked_from(rule: LimitRule, state: State, times: Sequence[int]) -> tuple[list[bool], State]:
    passed = []
    for now in times:
        taken = rule.take(state, now)
        passed.append(not taken.wait)
        state = state if taken.wait else taken.state
    return passed, state


@given(timed())
def test_a_state_means_nothing_from_its_time_on(case: tuple[LimitRule, Sequence[int]]) -> None:
    rule, times = case
    _passed, state = asked(rule, times)
    now = max(state[0], times[-1])
    assert rule.take(state, now) == rule.take(rule.none, now)


@given(timed(), st.integers(1, 90 * SECOND))
def test_an_earlier_time_lets_nothing_more_pass(case: tuple[LimitRule, Sequence[int]], back: int) -> None:
    rule, times = case
    _passed, state = asked(rule, times)
    now = times[-1]
    earlier = rule.take(state, now - back)
    if rule.take(state, now).wait:
        assert earlier.wait
    if not earlier.wait:
        assert earlier.state[0] >= state[0]


@given(timed())
def test_states_are_kept_as_they_are(case: tuple[LimitRule, Sequence[int]]) -> None:
    rule, times = case
    _passed, state = asked(rule, times)
    assert rule.format.size <= ROOM
    assert rule.format.unpack(rule.format.pack(*state)) == state
    assert rule.format.unpack(bytes(rule.format.size)) == rule.none


@pytest.mark.parametrize(
    ("rule", "times", "passed"),
    [
        (FixedWindow(2, 60), (0, 1, 2, 59, 60, 61, 62), "yynnyyn"),
        (FixedWindow(2, 60), (50, 51, 109, 110, 111, 112), "yynyyn"),
        (FixedWindow(1, 60), (0, 59, 60, 119, 120), "ynyny"),
        # Twice the count around the end of a window, which is why there are sliding ones.
        (FixedWindow(2, 60), (0, 59, 60, 61), "yyyy"),
        # Slices of 3: what came at 1 counts until 63, as the slice in which it came ends at 3.
        (SlidingWindow(2, 60), (1, 59, 60, 61, 62, 63, 64, 119, 120), "yynnnynny"),
        (SlidingWindow(1, 60), (2, 61, 62, 63), "ynny"),
        (TokenBucket(2, 60, 2), (0, 0, 0, 29, 30, 59, 60, 61), "yynnynyn"),
        (TokenBucket(2, 60, 3), (0, 0, 0, 0, 30, 30, 1000, 1000, 1000, 1000), "yyynynyyyn"),
        (TokenBucket(60, 60, 1), (0, 0, 1, 1, 2), "ynyny"),
    ],
)
def test_table(rule: LimitRule, times: Sequence[int], passed: str) -> None:
    begun = [60 * SECOND + now for now in times]
    assert "".join("y" if one else "n" for one in asked(rule, begun)[0]) == passed


@pytest.mark.parametrize("per", [SECOND, 60 * SECOND, 86_400 * SECOND, 31 * 86_400 * SECOND])
def test_states_of_large_limits_fit(per: int) -> None:
    for rule in (FixedWindow(10**6, per), SlidingWindow(10**6, per), TokenBucket(10**6, per, 10**6)):
        _passed, state = asked(rule, [10 * 366 * 86_400 * SECOND] * 20_000)
        assert rule.format.unpack(rule.format.pack(*state)) == state
