"""Goes on with a client's body whose leader has died, by the decision that is made for a fresh miss."""

from __future__ import annotations

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from pyproxycache.body import Body, FileSlice, Piece
from pyproxycache.errors import StoreError
from pyproxycache.fetching.direct_bodies import DirectBodies, GivenBytes
from pyproxycache.fetching.dispatch import Dispatcher, LookAgain
from pyproxycache.fetching.leader import Downloading, Leader, close_unused
from pyproxycache.fetching.leading import Leading
from pyproxycache.fetching.transfers.available_parts import AvailableParts
from pyproxycache.messages import Entry, Part
from pyproxycache.outcome import Forward
from pyproxycache.routing.flight_key import FlightKey, flight_key
from pyproxycache.rules.decisions import Fetch
from pyproxycache.rules.parts import filling
from pyproxycache.rules.representation import resumption_validator, same_representation
from pyproxycache.rules.resumption import headers_for, is_same
from pyproxycache.serving.arriving import FlightRead, SpanRead, read_span
from pyproxycache.serving.entry_bodies import EntryBodies
from pyproxycache.store.ports import EntryIndex, Flight, JoinFlight
from pyproxycache.store.values import BodyGone, End, Orphaned
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.fetching")


_LOOK_AGAIN = (End.ORPHANED, End.LOST, End.STORED, End.FRESHENED, End.UNSTORED)


@dataclass(frozen=True, slots=True)
class SuccessionParts:
    """The parts that a successor uses to find, lead or ask for the rest of a body.

    `admit_peer`: client address and the address a body came from; raises Forbidden.
    """

    dispatcher: Dispatcher
    leader: Leader
    alone: DirectBodies
    index: EntryIndex
    bodies: EntryBodies
    available: AvailableParts
    admit_peer: Callable[[str, str], None]


class Succession:
    """Makes a Successor for each body on its way to a client, which goes on if the leader dies."""

    def __init__(self, parts: SuccessionParts) -> None:
        self._parts = parts

    def of_flight(self, read: FlightRead) -> Successor:
        """The successor for a client that reads a flight."""
        return FlightSuccessor(self._parts, read)

    def of_span(self, read: SpanRead) -> Successor:
        """The successor for a client that reads a span."""
        return SpanSuccessor(self._parts, read)


class Successor(ABC):
    """Goes on with one client's body: out of the store, of another's flight, of one it leads, or alone."""

    def __init__(self, parts: SuccessionParts, read: FlightRead | SpanRead) -> None:
        self._parts = parts
        self._rules = read.inquiry.resource.rules
        self._request = read.inquiry.request
        self._facts = read.inquiry.facts

    @abstractmethod
    def note_given(self, piece: Piece) -> None:
        """Note that the client gets this piece next."""

    def go_on(self, offset: int) -> Body:
        """The rest of the client's body, from the offset on.

        Raises Orphaned if its new source has gone as well, and BrokenOff or another ProxyError.
        """
        found = self._found(offset)
        body = self._opened(found, offset)
        if body is not None:
            return body
        key, like = self._wanted(offset)
        match self._parts.dispatcher.decide([key], self._rules, lambda: self._is_new(found, offset)):
            case Leading() as leading:
                with leading:
                    body = self._led(leading, like, offset)
            case JoinFlight(flight):
                body = self._followed(flight, offset)
            case LookAgain():
                raise Orphaned(offset)
        return body or self._alone(offset)

    def _is_new(self, found: list[Entry], offset: int) -> bool:
        """Whether something that has the offset was stored since it was looked for."""
        return any(entry not in found for entry in self._found(offset))

    def _led(self, leading: Leading, like: Entry, offset: int) -> Body | None:
        """The body out of a flight that this request leads; None if it brings in something else."""
        plan = None if like.part is None else filling(like.head, like.part)
        fetch = Fetch(headers_for(like, self._request), None, Forward.PARTIAL, plan=plan)
        led = self._parts.leader.ask(leading, self._request, fetch, self._facts)
        if isinstance(led, Downloading):
            with contextlib.suppress(Orphaned):  # it is something else, and over: nobody else has led it
                return self._followed(leading.flight, offset)
        close_unused(led)
        return None

    def _admit(self, entry: Entry) -> None:
        self._parts.admit_peer(self._request.client, entry.peer)

    @abstractmethod
    def _found(self, offset: int) -> list[Entry]:
        """The entries of this representation that have the byte at the offset."""

    @abstractmethod
    def _opened(self, found: list[Entry], offset: int) -> Body | None:
        """The body out of one of these entries, or of a flight that has it already; else None."""

    @abstractmethod
    def _wanted(self, offset: int) -> tuple[FlightKey, Entry]:
        """The flight key to go on under, and what is to be downloaded; raises Orphaned."""

    @abstractmethod
    def _followed(self, flight: Flight, offset: int) -> Body | None:
        """The body out of the flight; None if it brings in something else. Raises Orphaned."""

    @abstractmethod
    def _alone(self, offset: int) -> Body:
        """The body straight from the origin."""


class FlightSuccessor(Successor):
    """Goes on with the body of a flight, byte by byte as it was or not at all."""

    def __init__(self, parts: SuccessionParts, read: FlightRead) -> None:
        super().__init__(parts, read)
        self._read = read
        self._given: GivenBytes | None = None

    def note_given(self, piece: Piece) -> None:
        if self._given is None and isinstance(piece, FileSlice) and self._goes_on_by_bytes():
            with contextlib.suppress(OSError):  # then it cannot go on by itself
                self._given = GivenBytes(piece)

    def _goes_on_by_bytes(self) -> bool:
        """Whether nothing but the bytes themselves can tell that another answer goes on with this one."""
        entry = self._read.entry
        return entry.part is None and resumption_validator(entry.head) is None

    def _found(self, _offset: int) -> list[Entry]:
        """The entry that the flight was stored as, or one of the same representation."""
        wanted = self._read.entry
        values = dict(wanted.vary)
        try:
            found = self._parts.index.lookup(
                wanted.key, lambda names: tuple((name, values.get(name)) for name in names)
            )
        except StoreError as error:
            log.warning("%s is looked for in vain: %s", without_query(wanted.key), error)
            return []
        return [
            entry
            for entry in found
            if (entry.vary, entry.part) == (wanted.vary, wanted.part)
            and (
                entry.response_time == wanted.response_time or same_representation(wanted.head, entry.head)
            )
        ]

    def _opened(self, found: list[Entry], offset: int) -> Body | None:
        for entry in found[:1]:
            self._admit(entry)
            with contextlib.suppress(BodyGone):
                return self._parts.bodies.open(entry, offset, self._read.stop)
        return None

    def _wanted(self, _offset: int) -> tuple[FlightKey, Entry]:
        return self._read.flight.key, self._read.entry

    def _followed(self, flight: Flight, offset: int) -> Body | None:
        old = self._read
        if flight.partial and flight.partial == old.flight.partial:
            # The same file, gone on with: what is there can be read before the origin has answered.
            now = replace(old.answered, generation=0, end=None)
        else:
            now = flight.wait_head()
            if now.entry is None or not is_same(old.entry, now.entry):
                if now.end in (End.ORPHANED, End.LOST, End.STORED):
                    raise Orphaned(offset)
                return None
            self._admit(now.entry)
        pieces = flight.read(now, offset, old.stop, given=offset > old.start)
        self._read = replace(old, flight=flight, answered=now)
        return pieces

    def _alone(self, offset: int) -> Body:
        return self._parts.alone.of_flight(self._read, offset, self._given)


class SpanSuccessor(Successor):
    """Goes on with bytes of a representation, out of whatever has them: parts, downloads, the origin."""

    def __init__(self, parts: SuccessionParts, read: SpanRead) -> None:
        super().__init__(parts, read)
        self._read = read

    def note_given(self, piece: Piece) -> None:
        """Nothing is noted: a strong validator tells which answers go on with the span."""

    def _found(self, offset: int) -> list[Entry]:
        return self._parts.available.stored(self._read.like, offset)

    def _opened(self, found: list[Entry], offset: int) -> Body | None:
        around, stop = self._parts.available, self._read.stop
        stored = around.opened(found, offset, stop, admit=self._admit)
        return stored or around.arriving(self._read.like, offset, stop, admit=self._admit)

    def _wanted(self, offset: int) -> tuple[FlightKey, Entry]:
        """The part that a dead leader left, or else the part from the offset up to what others have."""
        read, around = self._read, self._parts.available
        left = around.left_at(read.like, offset)
        if left is not None:
            return left
        assert read.like.part is not None, "as_part() gives a part"
        ahead = around.first_ahead(read.like, offset)
        # Looked at once more, as another successor may have begun since.
        if ahead == offset or around.is_arriving(read.like, offset):
            raise Orphaned(offset)  # somebody has it now, or will
        stop = read.stop if ahead is None else min(ahead, read.stop)
        part = Part(offset, stop - 1, read.like.part.total)
        gap = replace(read.like, id=0, digest="", size=0, part=part)
        whole = flight_key(gap.key, [name for name, _value in gap.vary], self._request)
        return whole.of_part(headers_for(gap, self._request).get("range") or ""), gap

    def _followed(self, flight: Flight, offset: int) -> Body | None:
        body = read_span(flight, self._read.like, offset, self._read.stop, self._admit)
        if body is None and flight.progress().end in _LOOK_AGAIN:
            raise Orphaned(offset)
        return body

    def _alone(self, offset: int) -> Body:
        return self._parts.alone.of_span(self._read, offset)
