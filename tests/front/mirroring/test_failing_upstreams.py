"""Which upstreams are asked last, for how long, and how many are remembered."""

from __future__ import annotations

from pyproxycache.front.mirroring.failing_upstreams import FailingUpstreams
from pyproxycache.front.requests.target import Wanted
from pyproxycache.rules.urls import parse_url

FIRST, SECOND = "http://first.test", "http://second.test"


def order(failing: FailingUpstreams, now: float) -> list[str]:
    wanted = [Wanted(parse_url(f"{origin}/x")) for origin in (FIRST, SECOND)]
    return [one.url.origin for one in failing.last(wanted, now)]


def test_one_that_fails_is_asked_last_for_a_while() -> None:
    failing = FailingUpstreams()
    failing.note(FIRST, 0.0, has_failed=True)
    assert (order(failing, 29.0), order(failing, 30.0)) == ([SECOND, FIRST], [FIRST, SECOND])
    failing.note(FIRST, 40.0, has_failed=True)
    failing.note(FIRST, 41.0, has_failed=False)
    assert order(failing, 42.0) == [FIRST, SECOND]


def test_failures_of_many_others_are_not_all_that_is_remembered() -> None:
    failing = FailingUpstreams()
    for number in range(3000):
        failing.note(f"http://n{number}.test", 0.0, has_failed=True)
    failing.note(FIRST, 1.0, has_failed=True)
    assert order(failing, 2.0) == [SECOND, FIRST]
