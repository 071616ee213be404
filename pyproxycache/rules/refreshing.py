"""When a stored response is asked for anew before it is stale, and when that ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from zlib import crc32

from pyproxycache.messages import Entry

_SPREAD = 0.2
_SOON = 0.05
_USUAL = 10.0
_LEAST_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class RefreshRule:
    """A response is refreshed `every` so many seconds, and after so many `hits`; None: not for that."""

    every: float | None = None
    hits: int | None = None

    @property
    def soonest(self) -> float:
        """Seconds after a response for which nothing can be due by the time."""
        return _USUAL if self.every is None else self.every * (1 - _SPREAD)

    @property
    def patience(self) -> float:
        """Seconds after which what has not come is asked for again."""
        return _USUAL if self.every is None else max(self.every, _LEAST_PATIENCE)


@dataclass(frozen=True, slots=True)
class Demand:
    """What clients want of an entry: their last use (epoch seconds), and their hits since it came."""

    used: float
    hits: int = 0


@dataclass(frozen=True, slots=True)
class RefreshNow:
    """Ask the upstream now."""


@dataclass(frozen=True, slots=True)
class LookLater:
    """Nothing is to be done before this time (epoch seconds)."""

    at: float


@dataclass(frozen=True, slots=True)
class EndRefreshing:
    """It is not refreshed any more, for this reason; the next request for it begins anew."""

    reason: str


def on_demand(
    rule: RefreshRule, name: str, entry: Entry, left: float, demand: Demand, now: float
) -> RefreshNow | LookLater | EndRefreshing:
    """What to do for an entry with `left` seconds of freshness.

    By its `name` it comes up to a fifth of the period early, so that what came together is not refreshed
    together.
    """
    if left <= 0:
        return EndRefreshing("it is stale")
    if rule.hits is not None and demand.hits >= rule.hits:
        return RefreshNow()
    due = math.inf
    if rule.every is not None:
        due = entry.response_time + rule.every * (1 - _SPREAD * _share(name))
        if due <= now:
            return RefreshNow() if demand.used >= entry.response_time else EndRefreshing("nobody uses it")
    return LookLater(max(now + _SOON, min(due, now + left)))


def _share(name: str) -> float:
    """A number from 0 to 1 that is always the same for this name."""
    return crc32(name.encode("utf-8", "surrogateescape")) / 0xFFFFFFFF
