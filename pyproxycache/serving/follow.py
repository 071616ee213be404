"""Following a flight: a body that is read as it arrives and outlives its leader."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pyproxycache.body import Body, BytesBody, FileSlice, Piece, WouldBlock, size_of
from pyproxycache.download.leading import Downloader
from pyproxycache.download.surroundings import Surroundings, read
from pyproxycache.errors import BrokenOff, StoreError
from pyproxycache.messages import Entry, Head, Request, without_query
from pyproxycache.outcome import Forward, Outcome
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.rules.decisions import Fetch
from pyproxycache.rules.parts import filling
from pyproxycache.rules.ranges import continues, range_text
from pyproxycache.rules.representation import is_unmarked_part, resumption_validator, same_representation
from pyproxycache.rules.validation import (
    complete_length,
)
from pyproxycache.serving.resuming import (
    FirstBytes,
    GivenBytes,
    MadeOf,
    asking_for,
    begun,
    is_alike,
    plain_headers,
)
from pyproxycache.serving.span import Span, SpanRequest
from pyproxycache.store.ports import (
    Bodies,
    DownloadWriter,
    EntryIndex,
    Flight,
    Flights,
    LeadFlight,
    NotStorable,
)
from pyproxycache.store.values import BodyGone, End, Orphaned, Progress
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange

log = logging.getLogger("pyproxycache.follow")

_SUCCESSIONS = 5


class Follower:
    """Gives clients the bodies of flights, and of what is stored."""

    def __init__(
        self,
        index: EntryIndex,
        bodies: Bodies,
        flights: Flights,
        downloader: Downloader,
        surroundings: Surroundings,
        upstream: Upstream,
        admit_peer: Callable[[str, str], None],
    ) -> None:
        """`admit_peer`: client address and the address a body came from; raises Forbidden."""
        self.admit_peer = admit_peer
        self.surroundings = surroundings
        self.index = index
        self.flights = flights
        self.downloader = downloader
        self.upstream = upstream
        self._bodies = bodies

    def body(
        self,
        request: Request,
        outcome: Outcome,
        flight: Flight,
        answered: Progress,
        start: int,
        stop: int | None,
    ) -> Body:
        """The flight's body from `start` up to `stop`; raises Orphaned if it is over already."""
        assert answered.entry is not None, "a client reads a body after its head"
        if flight.body is not None and answered.end is not None:
            return BytesBody(flight.body[start:stop])
        pieces = flight.read(answered, start, stop)
        return FollowedBody(
            self, request, outcome, _Read(flight.key, flight, answered), pieces, start, stop
        )

    def span(
        self,
        request: Request,
        outcome: Outcome,
        like: Entry,
        start: int,
        stop: int,
        flight: Flight | None = None,
    ) -> Span:
        """Bytes `start` up to `stop` of what a part is of, the first ones out of the flight."""
        first = None if flight is None else read(flight, like, start, stop)
        return Span(self, SpanRequest(request, outcome, like), start, stop, first)

    def stored_body(self, entry: Entry, start: int, stop: int | None) -> Body:
        """A stored body's bytes; raises BodyGone where it cannot be read."""
        try:
            return self._bodies.open(entry.digest, entry.size, start, entry.size if stop is None else stop)
        except StoreError as error:
            log.error("a stored body cannot be read: %s", error)
            raise BodyGone(str(error)) from error


@dataclass(frozen=True, slots=True)
class _Read:
    """Where a body is read: the flight, its key, and what its head was."""

    key: FlightKey
    flight: Flight
    answered: Progress

    @property
    def entry(self) -> Entry:
        assert self.answered.entry is not None, "a client reads a body after its head"
        return self.answered.entry


class FollowedBody(Body):
    """One client's pieces of a flight; where the leader dies, those of its successor from there on.

    `offset` is where in the flight's body the next piece begins.
    """

    def __init__(
        self,
        follower: Follower,
        request: Request,
        outcome: Outcome,
        read: _Read,
        pieces: Body,
        start: int,
        stop: int | None,
    ) -> None:
        self._follower = follower
        self._request = request
        self._outcome = outcome
        self._read = read
        self._start = self.offset = start
        self._stop = stop
        self._successions = 0
        self._pieces: Body | None = pieces
        self._given: GivenBytes | None = None

    def __next__(self) -> Piece:
        while True:
            if self._pieces is None:
                self._pieces = self._succeeding()
            try:
                return self._counted(next(self._pieces))
            except Orphaned:
                self._pieces = None

    def take(self, wake: Callable[[], None], /) -> Piece | None:
        if self._pieces is None:
            raise WouldBlock
        try:
            piece = self._pieces.take(wake)
        except Orphaned as orphaned:
            self._pieces = None
            raise WouldBlock from orphaned
        return piece and self._counted(piece)

    def _counted(self, piece: Piece) -> Piece:
        if self._given is None and isinstance(piece, FileSlice) and self._goes_on_by_bytes():
            with contextlib.suppress(OSError):  # then it cannot go on by itself
                self._given = GivenBytes(os.dup(piece.fd))
        self.offset += size_of(piece)
        return piece

    def close(self) -> None:
        if self._pieces is not None:
            self._pieces.close()

    def _goes_on_by_bytes(self) -> bool:
        """Whether nothing but the bytes themselves can tell that another answer goes on with this one."""
        entry = self._read.entry
        return entry.part is None and resumption_validator(entry.head) is None

    def _succeeding(self) -> Body:
        """Go on from somewhere else: the store, a flight, or the origin."""
        while self._successions < _SUCCESSIONS:
            self._successions += 1
            with contextlib.suppress(Orphaned):
                return self._successor()
        raise BrokenOff("the download lost its process too many times")

    def _successor(self) -> Body:
        """The pieces from here on; raises Orphaned where whoever had them is gone as well."""
        stored = self._stored()
        if stored is not None:
            self._follower.admit_peer(self._request.client, stored.peer)
            with contextlib.suppress(BodyGone):
                return self._follower.stored_body(stored, self.offset, self._stop)
        try:
            joined = self._follower.flights.join(self._read.key)
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(self._read.key.cache_key), error)
            return self._alone()
        if isinstance(joined, NotStorable):
            return self._alone()
        if isinstance(joined, LeadFlight):
            return self._lead(joined.writer)
        return self._follow(joined.flight)

    def _stored(self) -> Entry | None:
        """The stored entry that a flight has become, or an equal one."""
        wanted = self._read.entry
        values = dict(wanted.vary)
        try:
            found = self._follower.index.lookup(
                wanted.key, lambda names: tuple((name, values.get(name)) for name in names)
            )
        except StoreError as error:
            log.warning("%s is looked for in vain: %s", without_query(wanted.key), error)
            return None
        for entry in found:
            if (entry.vary, entry.part) == (wanted.vary, wanted.part) and (
                entry.response_time == wanted.response_time or same_representation(wanted.head, entry.head)
            ):
                return entry
        return None

    def _lead(self, writer: DownloadWriter) -> Body:
        """Lead from here on, with this client's request; its own body comes through the flight."""
        entry = self._read.entry
        headers = asking_for(entry, self._request)
        plan = None if entry.part is None else filling(entry.head, entry.part)
        fetch = Fetch(headers, None, Forward.PARTIAL, plan=plan)
        led = self._follower.downloader.lead(writer, self._request, fetch, self._outcome)
        downloading = begun(led, writer)
        if downloading is None:
            return self._alone()
        try:
            return self._follow(writer.flight)
        finally:
            downloading.start()

    def _follow(self, flight: Flight) -> Body:
        old = self._read
        if flight.partial and flight.partial == old.flight.partial:
            # The same file, gone on with: what is there can be read before the origin has answered.
            now = replace(old.answered, generation=0, end=None)
        else:
            now = flight.wait_head()
            if now.entry is None or not _is_same(old.entry, now.entry):
                if now.end in (End.ORPHANED, End.LOST, End.STORED):
                    raise Orphaned(self.offset)
                return self._alone()
            self._follower.admit_peer(self._request.client, now.entry.peer)
        pieces = flight.read(now, self.offset, self._stop, given=self.offset > self._start)
        self._read = _Read(old.key, flight, now)
        return pieces

    def _alone(self) -> Body:
        """The rest straight from the origin, if it is still the same representation; raises BrokenOff."""
        entry = self._read.entry
        validator = resumption_validator(entry.head)
        if validator is None:
            return self._alone_by_bytes(entry)
        base = entry.first_byte
        last = None if self._stop is None else base + self._stop - 1
        headers = plain_headers(self._request).with_field("Range", range_text(base + self.offset, last))
        request = self._request.with_headers(headers.with_field("If-Range", validator))
        exchange = self._follower.upstream.send(request, self._outcome)
        if entry.part is None and _is_whole(exchange.head, entry.head):
            return MadeOf(exchange, _from_byte(exchange, self.offset, self._stop))
        end = complete_length(exchange.head) if self._stop is None else base + self._stop
        if not continues(exchange.head, entry.head, base + self.offset) or end is None:
            exchange.close()
            raise BrokenOff("the download ended, and the origin has something else now")
        return FirstBytes(exchange, end - base - self.offset)

    def _alone_by_bytes(self, entry: Entry) -> Body:
        """The whole once more, which is the same as far as it was given; raises BrokenOff."""
        if self._given is None or not self._given.reach_to(self.offset):
            raise BrokenOff("the download ended, and without a strong validator it cannot go on")
        request = self._request.with_headers(plain_headers(self._request))
        exchange = self._follower.upstream.send(request, self._outcome)
        length = self._read.answered.length
        if exchange.length != length or not is_alike(entry.head, exchange.head):
            exchange.close()
            raise BrokenOff("the download ended, and the origin has something else now")
        return MadeOf(exchange, self._given.gone_on(exchange, self.offset, self._stop))


def _is_same(old: Entry, new: Entry) -> bool:
    return old.part == new.part and same_representation(old.head, new.head)


def _is_whole(head: Head, known: Head) -> bool:
    """Whether an origin that ignores Range sends all of the very representation that is known."""
    return head.status == 200 and not is_unmarked_part(head) and same_representation(known, head)


def _from_byte(exchange: Exchange, offset: int, stop: int | None) -> Iterator[bytes]:
    """The body from the offset up to `stop`, or its end; raises BrokenOff where it is shorter."""
    place = 0
    with contextlib.closing(exchange):
        for data in exchange:
            kept = data[max(0, offset - place) : None if stop is None else stop - place]
            place += len(data)
            if kept:
                yield kept
            if stop is not None and place >= stop:
                return
        if place < (offset if stop is None else stop):
            raise BrokenOff(f"the origin's body ended at {place}")
