"""Sliding lifetimes: uses prolong them, up to the longest, and what never slides does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sample import NOW, entry, get

from pyproxycache.outcome import Forward
from pyproxycache.route_options.caching import RouteCacheOptions
from pyproxycache.routing.route_policies import route_policies
from pyproxycache.rules.cache_control import request_directives
from pyproxycache.rules.decisions import Serve
from pyproxycache.rules.freshness import remaining_lifetime, stale_if_error_allowed
from pyproxycache.rules.policy import Policy
from pyproxycache.rules.reuse import judge

SLIDING = Policy(fresh=10.0, longest=60.0, stale_if_error=5.0)


@pytest.mark.parametrize(
    ("age", "used", "policy", "left"),
    [
        pytest.param(4, None, SLIDING, 6, id="never-used"),
        pytest.param(4, 1, SLIDING, 9, id="used-a-second-ago"),
        pytest.param(4, 1, replace(SLIDING, longest=None), 6, id="not-sliding"),
        pytest.param(40, 1, SLIDING, 9, id="used-over-several-lifetimes"),
        pytest.param(40, 15, SLIDING, -5, id="used-too-long-ago"),
        pytest.param(40, None, SLIDING, -30, id="never-used-and-old"),
        pytest.param(55, 0, SLIDING, 5, id="the-longest-life-ends-first"),
        pytest.param(70, 0, SLIDING, -10, id="older-than-the-longest-life"),
        pytest.param(4, 0, replace(SLIDING, longest=1.0), 6, id="longest-is-never-less-than-the-lifetime"),
        pytest.param(4, -3, SLIDING, 10, id="used-just-after-now-by-another-clock"),
        pytest.param(4, -300, SLIDING, 6, id="used-in-a-future-that-was-set-back"),
    ],
)
def test_what_is_left(age: float, used: float | None, policy: Policy, left: float) -> None:
    stored = replace(entry(age=age), used=0.0 if used is None else NOW - used)
    assert remaining_lifetime(stored, policy, NOW) == pytest.approx(left)
    judged = judge(get(), request_directives(get().headers), stored, policy, NOW)
    assert (judged == Forward.STALE) if left <= 0 else isinstance(judged, Serve)


@pytest.mark.parametrize(("used", "allowed"), [(12.0, True), (20.0, False)])
def test_how_stale_it_is_counts_from_the_prolonged_life(used: float, allowed: bool) -> None:
    stored = replace(entry(age=40), used=NOW - used)
    assert stale_if_error_allowed(stored, SLIDING, NOW) is allowed


def test_errors_never_slide() -> None:
    options = RouteCacheOptions(ttl=10.0, ttl_error=3.0, sliding=True)
    policies = route_policies(options, frozenset(), (), excluded=False)
    of_errors, of_answers = (rule.policy for rule in policies.rules[-2:])
    assert (of_errors.longest, of_answers.longest) == (None, options.longest)
