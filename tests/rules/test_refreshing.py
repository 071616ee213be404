"""When what is stored is refreshed: rows of what a route says, what clients want, and what follows."""

from __future__ import annotations

import pytest
from sample import NOW, entry

from pyproxycache.rules.refreshing import (
    Demand,
    EndRefreshing,
    LookLater,
    RefreshNow,
    RefreshRule,
    on_demand,
)

BOTH = RefreshRule(every=15.0, hits=10)
BY_TIME = RefreshRule(every=15.0)
BY_HITS = RefreshRule(hits=10)


@pytest.mark.parametrize(
    ("rule", "age", "left", "used", "hits", "expected"),
    [
        pytest.param(BY_TIME, 16, 14, 3, 1, RefreshNow(), id="a-period-is-over"),
        pytest.param(BY_TIME, 1, 29, 0, 1000, None, id="within-the-period"),
        pytest.param(BY_TIME, 16, 14, 17, 0, EndRefreshing("nobody uses it"), id="unused-since-it-came"),
        pytest.param(BY_TIME, 16, 14, 16, 0, RefreshNow(), id="used-as-it-came"),
        pytest.param(BY_TIME, 16, 14, NOW, 0, EndRefreshing("nobody uses it"), id="never-used"),
        pytest.param(BY_TIME, 16, 0, 1, 50, EndRefreshing("it is stale"), id="stale"),
        pytest.param(BY_TIME, 16, -5, 1, 50, EndRefreshing("it is stale"), id="long-stale"),
        pytest.param(BY_HITS, 1, 29, 0, 10, RefreshNow(), id="often-enough"),
        pytest.param(BY_HITS, 1, 29, 0, 9, LookLater(NOW + 29), id="not-often-enough"),
        pytest.param(BY_HITS, 100, 1, 0, 0, LookLater(NOW + 1), id="without-a-period-until-it-is-stale"),
        pytest.param(BOTH, 1, 29, 0, 10, RefreshNow(), id="both-by-hits"),
        pytest.param(BOTH, 16, 14, 0, 1, RefreshNow(), id="both-by-time"),
    ],
)
def test_what_is_to_be_done(
    rule: RefreshRule,
    age: float,
    left: float,
    used: float,
    hits: int,
    expected: RefreshNow | LookLater | EndRefreshing | None,
) -> None:
    """`used` is how many seconds ago clients had it last; None is expected for some time in the period."""
    decided = on_demand(rule, "name", entry(age=age), left, Demand(NOW - used, hits), NOW)
    if expected is None:
        assert isinstance(decided, LookLater)
        assert NOW - age + 12 <= decided.at <= NOW - age + 15
    else:
        assert decided == expected


def test_what_came_together_is_spread_out() -> None:
    times = []
    for number in range(1000):
        decided = on_demand(BY_TIME, f"name {number}", entry(age=0), 30.0, Demand(NOW), NOW)
        assert isinstance(decided, LookLater)
        times.append(decided.at - NOW)
    assert min(times) >= BY_TIME.soonest
    assert max(times) <= 15
    tenths = [sum(12 + 0.3 * tenth <= at < 12.3 + 0.3 * tenth for at in times) for tenth in range(10)]
    assert max(tenths) < 200


def test_the_same_name_comes_at_the_same_time_on_all_workers() -> None:
    decided = {
        on_demand(BY_TIME, "name", entry(age=age), 20.0, Demand(NOW), NOW - 3 + age) for age in (3.0, 3.0)
    }
    assert len(decided) == 1
