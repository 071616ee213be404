"""Answers out of what is stored and out of running downloads."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache import clock
from pyproxycache.body import Body
from pyproxycache.messages import Entry, Request
from pyproxycache.response import Response
from pyproxycache.routing.inquiry import Inquiry
from pyproxycache.rules.extents import as_part
from pyproxycache.rules.parts import Plan, Segment
from pyproxycache.rules.parts import plan as plan_for
from pyproxycache.rules.ranges import WHOLE
from pyproxycache.rules.validation import is_not_modified
from pyproxycache.serving import responses
from pyproxycache.serving.arriving import ArrivingBodies, FlightRead, SpanRead
from pyproxycache.serving.entry_bodies import EntryBodies
from pyproxycache.store.ports import EntryIndex, Flight
from pyproxycache.store.store_errors import logging_store_errors
from pyproxycache.store.values import BodyGone, Orphaned, Progress


class Delivery:
    """Makes answers out of entries and flights; each method gives None if what it needs has just gone."""

    def __init__(
        self,
        index: EntryIndex,
        stored: EntryBodies,
        arriving: ArrivingBodies,
        admit_peer: Callable[[str, str], None],
        note_access: Callable[[int, float], None],
    ) -> None:
        """`admit_peer`: client address and the address an entry came from; raises Forbidden."""
        self._index = index
        self._bodies = stored
        self._arriving = arriving
        self._admit_peer = admit_peer
        self._note_access = note_access

    def stored(self, request: Request, entry: Entry) -> Response | None:
        """The answer out of a stored entry."""
        self._admit_peer(request.client, entry.peer)
        now = clock.wall()

        def open_body(start: int, stop: int | None) -> Body:
            return self._bodies.open(entry, start, stop)

        try:
            response = responses.from_entry(request, entry, entry.size, now, open_body)
        except BodyGone:
            return None
        if request.ttl is not None and (entry.ttl is None or request.ttl < entry.ttl):
            with logging_store_errors("shorten the life of", entry.key):
                self._index.shorten(entry, request.ttl)
        if request.served is not None:
            request.served(request, entry)
        self._note_access(entry.id, now)
        return response

    def assembled(
        self, inquiry: Inquiry, plan: Plan, arriving: tuple[Flight, Progress] | None = None
    ) -> Response | None:
        """The answer out of stored parts, as planned.

        The first missing segment comes out of the flight, if one is given; others are fetched in their
        turn.
        """
        request, now = inquiry.request, clock.wall()
        if (
            not plan.segments
            and plan.wanted is WHOLE
            and request.method != "HEAD"
            and not is_not_modified(request.headers, plan.head, now)
        ):
            return None  # planned as a 304, which it was before the origin said more
        peers = [entry.peer for entry in plan.parts]
        if arriving is not None and arriving[1].entry is not None:
            peers.append(arriving[1].entry.peer)
        for peer in peers:
            self._admit_peer(request.client, peer)
        opened: dict[Segment, Body] = {}

        def open_segment(segment: Segment) -> Body:
            if segment in opened:
                return opened.pop(segment)
            read = SpanRead(inquiry, plan.parts[0], segment.start, segment.stop)
            return self._arriving.of_span(read)

        try:
            # Before their turn comes, when a blob may be gone and a flight long over.
            for segment in plan.segments:
                if segment.entry is not None:
                    opened[segment] = self._bodies.open(segment.entry, *segment.in_body)
            if arriving is not None:
                first, like = plan.missing[0], plan.parts[0]
                read = SpanRead(inquiry, like, first.start, first.stop)
                opened[first] = self._arriving.of_span(read, arriving[0])
            response = responses.from_parts(request, plan, now, open_segment)
        except (BodyGone, Orphaned):
            return None
        for entry in plan.parts:
            self._note_access(entry.id, now)
        return response

    def arriving(self, inquiry: Inquiry, flight: Flight, progress: Progress) -> Response | None:
        """The answer out of a flight whose head, in its progress, fits the request."""
        request, entry = inquiry.request, progress.entry
        assert entry is not None, "the head is known"
        self._admit_peer(request.client, entry.peer)
        if entry.part is not None and as_part(entry) is not None:
            return self._arriving_part(inquiry, flight, entry)

        def open_body(start: int, stop: int | None) -> Body:
            return self._arriving.of_flight(FlightRead(inquiry, flight, progress, start, stop))

        try:
            response = responses.from_entry(request, entry, progress.length, clock.wall(), open_body)
        except Orphaned:
            return None
        if request.served is not None:
            request.served(request, entry)
        return response

    def _arriving_part(self, inquiry: Inquiry, flight: Flight, part: Entry) -> Response:
        """The answer out of a part that is arriving, and then out of whatever has the rest."""
        request, now = inquiry.request, clock.wall()

        def open_span(start: int, stop: int | None) -> Body:
            assert stop is not None, "the end of a part is known"
            return self._arriving.of_span(SpanRead(inquiry, part, start, stop), flight)

        def open_body(start: int, stop: int | None) -> Body:
            return open_span(part.first_byte + start, None if stop is None else part.first_byte + stop)

        planned = plan_for(request, (part,), now)
        if planned is None or planned.wanted == (part.part,):
            return responses.from_entry(request, part, None, now, open_body)
        return responses.from_plan(request, planned, now, open_span)
