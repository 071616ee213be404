"""Builds the pools of the routes, and the checks of their members' health."""

from __future__ import annotations

import os

from pyproxycache.background import Count
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.notation import status_codes
from pyproxycache.messages import ByPool
from pyproxycache.report.metrics.metrics import Metrics
from pyproxycache.report.metrics.pool_metrics import PoolMetrics
from pyproxycache.route_options.pooling import MemberOptions, PoolOptions
from pyproxycache.route_options.route import RouteOptions
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.pools.health import HealthTerms
from pyproxycache.upstream.pools.health_checks import HealthChecks, HealthQuestion
from pyproxycache.upstream.pools.member import Member
from pyproxycache.upstream.pools.pool import Pool, PoolTerms
from pyproxycache.upstream.pools.pool_watch import PoolWatch, Unwatched
from pyproxycache.upstream.pools.pools import Pools

_Key = tuple[tuple[MemberOptions, ...], PoolOptions]


def build_pools(config: Config, metrics: Metrics | None = None) -> Pools:
    """Build a pool for all routes that have the same members and say the same of them.

    `metrics` count what becomes of members.
    """
    # Workers that began at the same member would send the first requests there, all of them.
    turn = int.from_bytes(os.urandom(2))
    return Pools({name: _pool(*key, turn, _watch(metrics, name)) for key, name in _names(config).items()})


def pool_of(config: Config, route: RouteOptions) -> ByPool | None:
    """The pool that answers a route's requests; None if there is but one upstream."""
    options = route.pooling
    if options is None:
        return None
    return ByPool(_names(config)[route.members, options], has_several=len(route.members) > 1)


def build_health_checks(config: Config, pools: Pools, upstream: Upstream, count: Count) -> HealthChecks:
    """Build what checks the members of the pools that want it; offline, nothing is asked."""
    questions = []
    for (_members, options), name in _names(config).items():
        if options.health is not None and not config.fetch.offline:
            health = options.health
            statuses = _codes(health.status)
            question = HealthQuestion(health.path, health.every, health.timeout, statuses)
            questions.append((pools.by_name[name], question))
    return HealthChecks(questions, upstream.probe, count)


def _names(config: Config) -> dict[_Key, str]:
    """A name for each pool: its first URL, with a number where other pools begin with that."""
    found: dict[_Key, str] = {}
    for _host, _path, route in config.all_routes():
        options = route.pooling
        if options is not None and (route.members, options) not in found:
            alike = sum(members[0].url == route.upstream for members, _options in found)
            found[route.members, options] = (
                f"{route.upstream} {alike + 1}" if alike else str(route.upstream)
            )
    return found


def _watch(metrics: Metrics | None, name: str) -> PoolWatch:
    return Unwatched() if metrics is None else PoolMetrics(metrics, name)


def _pool(members: tuple[MemberOptions, ...], options: PoolOptions, turn: int, watch: PoolWatch) -> Pool:
    health = HealthTerms(options.failures, options.pause, options.max_pause)
    terms = PoolTerms(options.choose, health, _codes(options.statuses), options.retries)
    return Pool([Member(one.url, one.weight) for one in members], terms, turn, watch)


def _codes(statuses: tuple[str, ...]) -> frozenset[int]:
    return frozenset(code for status in statuses for code in status_codes(status))
