"""A fetch to be done: the request that needs it, and what the origin is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.routing.flight_key import FlightKey, flight_key
from pyproxycache.routing.inquiry import Inquiry
from pyproxycache.rules.decisions import Fetch
from pyproxycache.rules.ranges import range_specs, select_ranges
from pyproxycache.serving.lookup import LookupResult
from pyproxycache.store.values import Progress


@dataclass(frozen=True, slots=True)
class FetchJob(Inquiry):
    """A request that the stored entries of its resource do not answer, and what the origin is asked for.

    `varies` are the fields that the response varies on, as far as that is known.
    """

    looked_up: LookupResult
    fetch: Fetch
    varies: tuple[str, ...] = ()

    @property
    def flight_of_whole(self) -> FlightKey:
        """The flight key of the whole response."""
        return flight_key(self.resource.key, self.varies, self.request)

    @property
    def first_missing(self) -> int | None:
        """The offset at which the part to be fetched begins; None if that is not known, or the whole is."""
        plan = self.fetch.plan
        if plan is not None:
            return plan.missing[0].start if plan.missing else None
        specs = range_specs(self.fetch.headers)
        return specs[0][0] if len(specs) == 1 else None

    def starts_in(self, progress: Progress) -> list[int]:
        """The offsets at which the parts begin that the request asks for, of a whole that is arriving."""
        assert progress.entry is not None, "the head is known"
        wanted = select_ranges(self.request.headers, progress.entry.head, progress.length)
        return [part.start for part in wanted] if isinstance(wanted, tuple) else []
