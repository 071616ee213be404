"""What is told of events: how many came how far, and what still waits on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyproxycache.report.metrics.family import Family, Kind, Series
from pyproxycache.report.metrics.metrics import single
from pyproxycache.report.metrics.named_counts import CountedAs

_BY = ("target",)
QUEUED = Family("pyproxycache_events_queued", "Events that requests made.", labels=_BY)
SPOOLED = Family("pyproxycache_events_spooled", "Events that were written to the spool.", labels=_BY)
SENT = Family("pyproxycache_events_sent", "Events that were delivered and confirmed.", labels=_BY)
RESENT = Family(
    "pyproxycache_events_resent", "Events that were sent, and may have been before.", labels=_BY
)
DROPPED = Family(
    "pyproxycache_events_dropped", "Events that nobody gets, and why.", labels=("target", "why")
)
WAITING = Family(
    "pyproxycache_events_waiting_bytes", "Bytes of spooled events that are not sent yet.", Kind.GAUGE, _BY
)


def event_counts(target: str) -> dict[str, CountedAs]:
    """The counters of events that go to a target of this kind, by their names."""
    ways = {"queued": QUEUED, "spooled": SPOOLED, "sent": SENT, "resent": RESENT}
    return {
        **{f"events.{name}": CountedAs(family, (target,)) for name, family in ways.items()},
        **{
            f"events.{why}": CountedAs(DROPPED, (target, why))
            for why in ("lost", "damaged", "refused", "unroutable")
        },
    }


def events_waiting(target: str, waiting: Callable[[], int]) -> Iterable[Series]:
    """How much waits for the target, where that can be told."""
    try:
        return [single(WAITING, waiting(), target)]
    except OSError:
        return []
