"""The metrics as text in Prometheus' format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest

from pyproxycache.report.metrics.family import Family, Kind, Series

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""That of names in ASCII, which every scraper reads."""
_PLAIN: dict[Kind, Any] = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily}

Looked = Iterable[tuple[Family, list[Series]]]
"""Families with their series, as Metrics.look() gives them."""


class _Summed:
    """What the library collects: families that were summed already."""

    def __init__(self, looked: Looked) -> None:
        self._looked = looked

    def collect(self) -> Iterator[Any]:
        for family, series in self._looked:
            yield _histogram(family, series) if family.kind is Kind.HISTOGRAM else _plain(family, series)


def exposed(looked: Looked) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Summed(looked))
    text: bytes = generate_latest(registry)
    return text


def _plain(family: Family, series: Iterable[Series]) -> Any:
    made = _PLAIN[family.kind](family.name, family.help, labels=family.labels)
    for one in series:
        made.add_metric(one.labels, one.numbers[0])
    return made


def _histogram(family: Family, series: Iterable[Series]) -> Any:
    made = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*(format(bound, "g") for bound in family.buckets), "+Inf"]
    for one in series:
        total, *counts = one.numbers
        made.add_metric(one.labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return made
