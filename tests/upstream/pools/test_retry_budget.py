"""A share of all requests may be sent once more, and no larger one."""

from __future__ import annotations

import pytest

from pyproxycache.upstream.pools.retry_budget import MOST, RetryBudget


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 1.0])
def test_retries_are_a_share_of_requests(share: float) -> None:
    budget, retries, requests = RetryBudget(share), 0, 1000
    for _ in range(requests):
        budget = budget.earned()
        spent = budget.spent()
        if spent is not None:
            budget, retries = spent, retries + 1
    at_first = MOST if share else 0
    assert requests * share - 1 <= retries <= requests * share + at_first


def test_quiet_times_leave_no_more_than_a_few() -> None:
    budget = RetryBudget(1.0)
    for _ in range(100):
        budget = budget.earned()
    assert budget.left == MOST
