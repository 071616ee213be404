"""What is told of refreshes: what they came to, and why requests are not repeated any more."""

from __future__ import annotations

from pyproxycache.report.metrics.family import Family
from pyproxycache.report.metrics.named_counts import CountedAs

REFRESHES = Family(
    "pyproxycache_refreshes", "Requests that were repeated for a refresh.", labels=("result",)
)
ENDED = Family(
    "pyproxycache_refreshes_dropped",
    "Kept requests that were given up, and are repeated no more.",
    labels=("why",),
)

REFRESH_COUNTS = {
    **{f"refresh.{one}": CountedAs(REFRESHES, (one,)) for one in ("renewed", "failed", "left")},
    **{
        f"refresh.{one}": CountedAs(ENDED, (one,))
        for one in ("unused", "refused", "lost", "crowded", "removed")
    },
}
"""The counters of refreshes, by their names."""
