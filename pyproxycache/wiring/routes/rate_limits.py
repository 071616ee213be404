"""Builds the rate limits of routes: their counters before the fork, their gates in each worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pyproxycache import clock
from pyproxycache.configuration.config import Config
from pyproxycache.gates.access import Access
from pyproxycache.gates.limits.client_behind import client_behind, peer_itself
from pyproxycache.gates.limits.counters import CountedLimit
from pyproxycache.gates.limits.fixed_window import FixedWindow
from pyproxycache.gates.limits.limit_gate import LimitGate, RouteLimit
from pyproxycache.gates.limits.limit_rule import SECOND, LimitRule
from pyproxycache.gates.limits.limit_tally import LimitTally
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.gates.limits.sliding_window import SlidingWindow
from pyproxycache.gates.limits.token_bucket import TokenBucket
from pyproxycache.route_options.limits import RateLimitOptions
from pyproxycache.routing.route_table import Route


def build_counters(config: Config, before: SharedCounters | None = None) -> SharedCounters | None:
    """The counters of all routes' limits, made before the fork; None if there are none.

    They are those from before if no limit has changed since, so that a reload forgets nothing.
    """
    routes = [Route(*one) for one in config.all_routes()]
    every = [limit.counted for route in routes for limit in limits_of(route, routes)]
    limits = tuple(dict.fromkeys(every))
    if before is not None and before.limits == limits:
        return before
    return SharedCounters(limits, clock.steady) if limits else None


def build_limit_gate(
    config: Config,
    limits: Sequence[RouteLimit],
    counters: SharedCounters,
    tallies: Mapping[str, LimitTally],
) -> LimitGate:
    """The gate by these limits of a route, which `tallies` count for."""
    trusted = config.forwarded.trust
    find = client_behind(Access(trusted).admits) if trusted else peer_itself
    return LimitGate(limits, counters, counters.secret, find, tallies)


def limits_of(route: Route, routes: Iterable[Route]) -> list[RouteLimit]:
    """The route's limits: one that it has inherited is counted together with that of the route above."""
    above = sorted(
        (one for one in routes if one.host == route.host and one.has(route.path)),
        key=lambda one: len(one.path),
        reverse=True,
    )
    limits = []
    for name, options in route.options.limits.items():
        place = route
        for one in above:
            if one.options.limits.get(name) != options:
                break
            place = one
        counted = CountedLimit(f"{place.host} {place.path} {name}", rule_of(options), options.keys)
        limits.append(RouteLimit(name, options.by, counted))
    return limits


def rule_of(options: RateLimitOptions) -> LimitRule:
    """The rule that the options say."""
    per = round(options.per * SECOND)
    if options.kind == "bucket":
        return TokenBucket(options.count, per, options.burst or options.count)
    kind = SlidingWindow if options.kind == "sliding" else FixedWindow
    return kind(options.count, per)
