"""What outcomes add to the counters, and figures made of the counters."""

from __future__ import annotations

from pyproxycache.outcome import Outcome, Result


def increments(outcome: Outcome) -> dict[str, int]:
    """What one finished request adds to the counters, by the counter's name."""
    return {
        "requests": 1,
        f"requests.{outcome.result.value}": 1,
        "bytes.sent": outcome.bytes_sent,
        "bytes.received": outcome.bytes_received,
    }


def received(count: int) -> dict[str, int]:
    """What a finished download adds to the counters; its bytes are in no request's outcome."""
    return {"bytes.received": count}


def hit_ratio(counters: dict[str, int]) -> float:
    """The share of the answered requests that caused no download (0 to 1)."""
    without = (Result.HIT, Result.COLLAPSED, Result.REVALIDATED, Result.STALE)
    served = sum(counters.get(f"requests.{result.value}", 0) for result in without)
    fetched = sum(counters.get(f"requests.{result.value}", 0) for result in (Result.FETCHED, Result.PASSED))
    return served / (served + fetched) if served + fetched else 0.0
