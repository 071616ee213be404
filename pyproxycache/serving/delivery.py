"""Answers out of what is stored and out of running downloads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pyproxycache import clock
from pyproxycache.messages import Entry, Request, Response
from pyproxycache.outcome import Outcome
from pyproxycache.rules.parts import Plan, Segment
from pyproxycache.rules.ranges import WHOLE
from pyproxycache.rules.validation import precondition
from pyproxycache.serving import answer
from pyproxycache.serving.follow import Follower
from pyproxycache.store.database import going_on_unwritten
from pyproxycache.store.flight import Flight, Orphaned, Progress
from pyproxycache.store.index import Index


class Delivery:
    """Makes answers; each method gives None where what it needs has gone in this moment."""

    def __init__(
        self,
        index: Index,
        follower: Follower,
        admit_peer: Callable[[str, str], None],
        note_access: Callable[[int, float], None],
    ) -> None:
        """`admit_peer`: client address and the address an entry came from; raises Forbidden."""
        self._index = index
        self._follower = follower
        self._admit_peer = admit_peer
        self._note_access = note_access

    def stored(self, request: Request, entry: Entry, outcome: Outcome, ttl: int) -> Response | None:
        """The answer out of a stored entry, which is fresh for `ttl` seconds more."""
        self._admit_peer(request.client, entry.peer)
        now = clock.wall()

        def open_body(start: int, stop: int | None) -> answer.Body:
            return self._follower.stored_body(entry, start, stop)

        try:
            response = answer.from_entry(request, entry, entry.size, now, open_body)
        except FileNotFoundError:
            return None
        if request.ttl is not None and (entry.ttl is None or request.ttl < entry.ttl):
            with going_on_unwritten("shorten the life of", entry.key):
                self._index.shorten(entry, request.ttl)
        self._note_access(entry.id, now)
        outcome.ttl = ttl
        return response

    def assembled(
        self,
        request: Request,
        plan: Plan,
        outcome: Outcome,
        arriving: tuple[Flight, Progress] | None = None,
    ) -> Response | None:
        """The answer out of stored parts; the first that is missing comes from a flight, others later."""
        now = clock.wall()
        if not plan.segments and plan.wanted is WHOLE and not precondition(request.headers, plan.head, now):
            return None  # planned as a 304, which it was before the origin said more
        peers = [entry.peer for entry in plan.parts]
        if arriving is not None and arriving[1].entry is not None:
            peers.append(arriving[1].entry.peer)
        for peer in peers:
            self._admit_peer(request.client, peer)
        opened: dict[Segment, answer.Body] = {}

        def open_segment(segment: Segment) -> answer.Body:
            if segment in opened:
                return opened.pop(segment)
            start, stop = segment.start, segment.stop
            return self._follower.missing_body(request, outcome, plan.parts[0], start, stop)

        try:
            # Before their turn comes, when a blob may be gone and a flight long over.
            for segment in plan.segments:
                if segment.entry is not None:
                    opened[segment] = self._follower.stored_body(segment.entry, *segment.in_body)
            if arriving is not None:
                flight, progress = arriving
                first = plan.missing[0]
                start, stop = replace(first, entry=progress.entry).in_body
                opened[first] = self._follower.body(request, outcome, flight, progress, start, stop)
            response = answer.from_parts(request, plan, now, open_segment)
        except (FileNotFoundError, Orphaned):
            return None
        for entry in plan.parts:
            self._note_access(entry.id, now)
        return response

    def arriving(
        self, request: Request, outcome: Outcome, flight: Flight, progress: Progress
    ) -> Response | None:
        """The answer out of a flight whose head fits."""
        entry = progress.entry
        assert entry is not None, "the head is known"
        self._admit_peer(request.client, entry.peer)

        def open_body(start: int, stop: int | None) -> answer.Body:
            return self._follower.body(request, outcome, flight, progress, start, stop)

        try:
            return answer.from_entry(request, entry, progress.length, clock.wall(), open_body)
        except Orphaned:
            return None
