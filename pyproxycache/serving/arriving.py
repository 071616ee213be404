"""Bodies that clients read while they arrive, and that go on if their leader dies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pyproxycache.body import Body, BytesBody
from pyproxycache.messages import Entry
from pyproxycache.routing.inquiry import Inquiry
from pyproxycache.rules.extents import are_of_one, as_part, extent_of
from pyproxycache.serving.resumed import Resume, ResumedBody
from pyproxycache.store.ports import Flight
from pyproxycache.store.values import Orphaned, Progress

Admit = Callable[[Entry], None]
"""Raises Forbidden where the client may not have what came from the entry's peer."""


@dataclass(frozen=True, slots=True)
class FlightRead:
    """What a client reads of a flight whose head it was `answered` with: bytes `start` up to `stop`."""

    inquiry: Inquiry
    flight: Flight
    answered: Progress
    start: int
    stop: int | None

    @property
    def entry(self) -> Entry:
        """The head that the client was answered with."""
        assert self.answered.entry is not None, "a client reads a body after its head"
        return self.answered.entry


@dataclass(frozen=True, slots=True)
class SpanRead:
    """What a client reads of a representation: bytes `start` up to `stop`.

    `like` is a part of it, as from as_part().
    """

    inquiry: Inquiry
    like: Entry
    start: int
    stop: int


class Resumes(Protocol):
    """Makes a Resume for each body, which goes on if the body's leader dies."""

    def of_flight(self, read: FlightRead) -> Resume:
        """The Resume for a client that reads a flight."""

    def of_span(self, read: SpanRead) -> Resume:
        """The Resume for a client that reads a span."""


class ArrivingBodies:
    """Gives clients bodies that are still arriving."""

    def __init__(self, resumes: Resumes) -> None:
        self._resumes = resumes

    def of_flight(self, read: FlightRead) -> Body:
        """The flight's body; raises Orphaned if it is over already."""
        if read.flight.body is not None and read.answered.end is not None:
            return BytesBody(read.flight.body[read.start : read.stop])
        pieces = read.flight.read(read.answered, read.start, read.stop)
        return ResumedBody(self._resumes.of_flight(read), read.start, read.stop, pieces)

    def of_span(self, read: SpanRead, flight: Flight | None = None) -> Body:
        """The span's bytes, the first ones out of the flight, if there is one; raises Orphaned."""
        first = None if flight is None else read_span(flight, read.like, read.start, read.stop)
        return ResumedBody(self._resumes.of_span(read), read.start, read.stop, first)


def anyone(_entry: Entry) -> None:
    """An Admit that admits every entry, for bytes that are given to no client directly."""


def read_span(flight: Flight, like: Entry, offset: int, stop: int, admit: Admit = anyone) -> Body | None:
    """Bytes `offset` up to `stop` of the representation that `like` is a part of, out of a flight.

    None if the flight brings in something else, or is over. Waits for the flight's head.
    """
    now = flight.wait_head()
    part = as_part(now.entry) if now.entry is not None else None
    if part is None or not are_of_one(like, part) or not extent_of(part).has(offset):
        return None
    admit(part)
    start = part.first_byte
    try:
        return flight.read(now, offset - start, min(stop, extent_of(part).stop) - start)
    except Orphaned:
        return None
