"""What finished requests add to the metrics."""

from __future__ import annotations

from bisect import bisect_left

from pyproxycache.outcome import Outcome, Result
from pyproxycache.report.metrics.family import SECONDS, Family, Kind
from pyproxycache.report.metrics.metrics import Metrics

_BY = ("way", "route", "result")
_SECONDS = (*SECONDS, 30.0, 60.0)

REQUESTS = Family("pyproxycache_requests", "Requests that have ended.", labels=_BY)
DURATION = Family(
    "pyproxycache_request_duration_seconds",
    "Seconds from the head of a request to the end of its answer; 0 for answers from memory.",
    Kind.HISTOGRAM,
    _BY,
    _SECONDS,
)
SENT = Family("pyproxycache_sent_bytes", "Bytes of heads and bodies that clients were sent.", labels=_BY)
RECEIVED = Family("pyproxycache_received_bytes", "Bytes of bodies that origins sent.", labels=("by",))
FROM_MEMORY = Family("pyproxycache_memory_answers", "Requests that were answered from memory, at once.")
_FAMILIES = (REQUESTS, DURATION, SENT)


class RequestMetrics:
    """Counts requests by the way they came, by route, and by result."""

    def __init__(self, metrics: Metrics) -> None:
        metrics.declare(REQUESTS, DURATION, SENT, RECEIVED, FROM_MEMORY)
        metrics.add(FROM_MEMORY, 0)
        self._places: dict[tuple[str, str, Result], tuple[int, ...]] = {}
        self._metrics = metrics

    def finished(self, outcome: Outcome) -> None:
        """Count a request that has ended."""
        self._count(outcome, 1)
        if outcome.bytes_received:
            self._metrics.add(RECEIVED, outcome.bytes_received, "request")

    def repeated(self, outcome: Outcome, times: int) -> None:
        """Count requests that were answered from memory, at once and with the same outcome."""
        self._count(outcome, times)
        self._metrics.add(FROM_MEMORY, times)

    def received(self, count: int) -> None:
        """Count the bytes of a download, which are in no request's outcome."""
        self._metrics.add(RECEIVED, count, "download")

    def _count(self, outcome: Outcome, times: int) -> None:
        metrics, numbers = self._metrics, self._metrics.numbers
        bucket = bisect_left(_SECONDS, outcome.seconds)
        with metrics.lock:
            by = (outcome.way, outcome.route, outcome.result)
            places = self._places.get(by)
            if places is None:
                labels = (outcome.way, outcome.route, outcome.result.value)
                places = self._places[by] = tuple(metrics.place(one, *labels) for one in _FAMILIES)
            requests, duration, sent = places
            numbers[requests] += times
            numbers[duration] += outcome.seconds * times
            numbers[duration + 1 + bucket] += times
            numbers[sent] += (outcome.head_bytes + outcome.bytes_sent) * times
