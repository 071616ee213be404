"""What parts count by names, as metrics: the counters of the store are there without a store, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pyproxycache.background import Count
from pyproxycache.report.metrics.family import Family
from pyproxycache.report.metrics.metrics import Metrics

ERRORS = Family("pyproxycache_background_errors", "Steps of background work that failed.", labels=("work",))
_ERRORS = "errors."


class CountedAs(NamedTuple):
    """The series that a name stands for."""

    family: Family
    labels: tuple[str, ...] = ()


class NamedCounts:
    """Counts by names, of which some have a series of their own; the others are counted elsewhere alone."""

    def __init__(self, metrics: Metrics, names: Mapping[str, CountedAs]) -> None:
        metrics.declare(ERRORS, *(one.family for one in names.values()))
        self._metrics = metrics
        self._counters = {name: metrics.counter(one.family, *one.labels) for name, one in names.items()}
        for counter in self._counters.values():
            counter(0)  # what is there only once it is 1 has never grown, for who watches it

    def beside(self, count: Count) -> Count:
        """What counts by `count`, and here."""

        def both(counts: dict[str, int]) -> None:
            count(counts)
            self._count(counts)

        return both

    def _count(self, counts: dict[str, int]) -> None:
        for name, amount in counts.items():
            counter = self._counters.get(name)
            if counter is not None:
                counter(amount)
            elif name.startswith(_ERRORS):
                self._metrics.add(ERRORS, amount, name.removeprefix(_ERRORS))
