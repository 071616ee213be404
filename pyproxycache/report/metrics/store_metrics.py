"""What the store adds to the metrics: what it holds, and what was evicted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyproxycache.errors import StoreError
from pyproxycache.report.figures import Figures
from pyproxycache.report.metrics.family import Family, Kind, Series
from pyproxycache.report.metrics.metrics import Metrics, single

UP = Family("pyproxycache_store_up", "Whether the store can be used.", Kind.GAUGE)
USED = Family("pyproxycache_store_bytes", "Bytes of the bodies that are stored.", Kind.GAUGE)
LIMIT = Family("pyproxycache_store_limit_bytes", "Bytes that the cache may take of the disk.", Kind.GAUGE)
ENTRIES = Family("pyproxycache_store_entries", "Responses that are stored.", Kind.GAUGE)
FLIGHTS = Family("pyproxycache_flights", "Downloads that run, for however many clients.", Kind.GAUGE)
EVICTED = Family("pyproxycache_evicted_entries", "Responses that were removed to make room.")
EVICTED_BYTES = Family("pyproxycache_evicted_bytes", "Bytes that evictions have freed.")


class StoreMetrics:
    """Tells of the store, which all workers share, and counts this worker's evictions."""

    def __init__(self, metrics: Metrics) -> None:
        metrics.declare(UP, USED, LIMIT, ENTRIES, FLIGHTS, EVICTED, EVICTED_BYTES)
        metrics.add(EVICTED, 0)
        metrics.add(EVICTED_BYTES, 0)
        self._metrics = metrics

    def evicted(self, entries: int, freed: int) -> None:
        """Count entries that were evicted, and the bytes that they had."""
        self._metrics.add(EVICTED, entries)
        self._metrics.add(EVICTED_BYTES, freed)

    def tell(self, figures: Callable[[], Figures]) -> None:
        """Have the figures told at each look."""
        self._metrics.tell(lambda: _series(figures))


def _series(figures: Callable[[], Figures]) -> Iterable[Series]:
    try:
        found = figures()
    except StoreError:
        return [single(UP, 0)]
    told = [
        single(UP, 1),
        single(USED, found.used),
        single(ENTRIES, found.entries),
        single(FLIGHTS, found.downloading),
    ]
    return told if found.limit is None else [*told, single(LIMIT, found.limit)]
