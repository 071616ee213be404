"""Answers out of what is stored and out of running downloads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from pyproxycache.messages import Entry, Request, Response
from pyproxycache.outcome import Outcome
from pyproxycache.rules.parts import Plan, Segment
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
        now = time.time()

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
        now = time.time()
        for entry in plan.parts:
            self._admit_peer(request.client, entry.peer)
        first: answer.Body | None = None

        def open_segment(segment: Segment) -> answer.Body:
            if segment.entry is not None:
                return self._follower.stored_body(segment.entry, *segment.in_body)
            if first is not None and segment == plan.missing[0]:
                return first
            known = plan.parts[0]
            return self._follower.missing_body(request, outcome, known, segment.start, segment.stop)

        try:
            if arriving is not None:
                # Joined before its turn comes, when the flight may long be over.
                flight, progress = arriving
                start, stop = replace(plan.missing[0], entry=progress.entry).in_body
                first = self._follower.body(request, outcome, flight, progress, start, stop)
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
            return answer.from_entry(request, entry, progress.length, time.time(), open_body)
        except Orphaned:
            return None
