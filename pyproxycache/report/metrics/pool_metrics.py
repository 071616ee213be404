"""What is told of the upstreams in pools, as each worker knows them."""

from __future__ import annotations

from pyproxycache.report.metrics.family import Family, Kind
from pyproxycache.report.metrics.metrics import Metrics
from pyproxycache.upstream.pools.health import HEALTH_STATES, HealthState
from pyproxycache.url import Url

STATES = Family(
    "pyproxycache_upstream_members",
    "Workers by whose knowledge the member is in this state.",
    Kind.GAUGE,
    ("pool", "member", "state"),
)
REQUESTS = Family(
    "pyproxycache_upstream_requests", "Requests to members.", labels=("pool", "member", "result")
)
CHECKS = Family(
    "pyproxycache_upstream_checks", "Health checks of members.", labels=("pool", "member", "result")
)
RETRIES = Family(
    "pyproxycache_upstream_retries", "Requests that were sent to another member.", labels=("pool",)
)
NONE_LEFT = Family(
    "pyproxycache_upstream_none_left", "Requests that found no member to ask.", labels=("pool",)
)


class PoolMetrics:
    """A PoolWatch that counts for one pool, whose name is the label."""

    def __init__(self, metrics: Metrics, pool: str) -> None:
        metrics.declare(STATES, REQUESTS, CHECKS, RETRIES, NONE_LEFT)
        self._metrics = metrics
        self._pool = pool
        self._retries = metrics.counter(RETRIES, pool)
        self._none_left = metrics.counter(NONE_LEFT, pool)

    def became(self, member: Url, state: HealthState) -> None:
        """Show the member in this state, and in no other."""
        for one in HEALTH_STATES:
            self._metrics.put(STATES, one == state, self._pool, str(member), one)

    def answered(self, member: Url, *, has_failed: bool) -> None:
        """Count a request to the member."""
        self._metrics.add(REQUESTS, 1, self._pool, str(member), "failed" if has_failed else "answered")

    def was_checked(self, member: Url, *, is_well: bool) -> None:
        """Count a health check of the member."""
        self._metrics.add(CHECKS, 1, self._pool, str(member), "well" if is_well else "ill")

    def sent_again(self) -> None:
        """Count a request that was sent to another member."""
        self._retries(1)

    def none_left(self) -> None:
        """Count a request that found nobody to ask."""
        self._none_left(1)
