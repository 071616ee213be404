"""Outcomes as counters."""

import pytest

from pyproxycache.outcome import Outcome, Result
from pyproxycache.report.counters import hit_ratio, increments


@pytest.mark.parametrize("result", list(Result))
def test_increments(result: Result) -> None:
    assert increments(Outcome(result=result, bytes_sent=7, bytes_received=3)) == {
        "requests": 1,
        f"requests.{result.value}": 1,
        "bytes.sent": 7,
        "bytes.received": 3,
    }


@pytest.mark.parametrize(
    ("counted", "ratio"),
    [
        ({}, 0.0),
        ({"hit": 3, "fetched": 1}, 0.75),
        ({"collapsed": 1, "revalidated": 1, "stale": 1, "hit": 1}, 1.0),
        ({"passed": 1, "fetched": 1}, 0.0),
        ({"refused": 5, "failed": 5, "hit": 1, "passed": 1}, 0.5),
    ],
)
def test_hit_ratio(counted: dict[str, int], ratio: float) -> None:
    assert hit_ratio({f"requests.{name}": count for name, count in counted.items()}) == ratio
