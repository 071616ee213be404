"""Following a flight: a body that is read as it arrives and outlives its leader."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace

from pyproxycache.download.leading import Downloader, Downloading, Passed
from pyproxycache.errors import BrokenOff
from pyproxycache.messages import Entry, FileSlice, Headers, Piece, Request
from pyproxycache.outcome import Forward, Outcome
from pyproxycache.rules import ranges
from pyproxycache.rules.decide import Fetch
from pyproxycache.rules.grammar import end_to_end
from pyproxycache.rules.validation import (
    complete_length,
    same_representation,
    strip_conditionals,
    strong_validator,
)
from pyproxycache.store.blobs import BlobReader, Blobs, Damaged
from pyproxycache.store.claims import NotStorable
from pyproxycache.store.flight import End, Flight, Orphaned, Progress
from pyproxycache.store.flights import Flights, Lead, Permit
from pyproxycache.store.index import Index
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange

log = logging.getLogger("pyproxycache.follow")

_SUCCESSIONS = 5


class Follower:
    """Gives clients the bodies of flights, and of what is stored."""

    def __init__(
        self, index: Index, blobs: Blobs, flights: Flights, downloader: Downloader, upstream: Upstream
    ) -> None:
        self.index = index
        self.flights = flights
        self.downloader = downloader
        self.upstream = upstream
        self._blobs = blobs

    def body(
        self,
        request: Request,
        outcome: Outcome,
        flight: Flight,
        answered: Progress,
        start: int,
        stop: int | None,
    ) -> FollowedBody:
        """The flight's body from `start` up to `stop`; raises Orphaned if it is over already."""
        return FollowedBody(self, request, outcome, flight, answered, start, stop)

    def stored_body(self, entry: Entry, start: int, stop: int | None) -> Iterator[Piece]:
        """A blob's bytes; raises FileNotFoundError where it is gone, after forgetting what names it."""
        try:
            fd = self._blobs.open(entry.digest, entry.size)
        except Damaged as error:
            log.error("%s; what names it is forgotten and fetched again", error)
            self.index.drop_blob(entry.digest, self._blobs.remove)
            raise FileNotFoundError(str(error)) from error
        except FileNotFoundError:
            # Just evicted, and then nothing names it; or lost, and then nothing must.
            self.index.drop_blob(entry.digest, self._blobs.remove)
            raise
        return BlobReader(fd, start, entry.size if stop is None else stop)


class FollowedBody:
    """One client's pieces of a flight; where the leader dies, those of its successor from there on.

    `answered` is what the client's head was made of; `offset` is where the next piece begins.
    """

    def __init__(
        self,
        follower: Follower,
        request: Request,
        outcome: Outcome,
        flight: Flight,
        answered: Progress,
        start: int,
        stop: int | None,
    ) -> None:
        self._follower = follower
        self._request = request
        self._outcome = outcome
        self._flight = flight
        self._answered = answered
        self._start = self.offset = start
        self._stop = stop
        self._successions = 0
        self._pieces: Iterator[Piece] = flight.read(answered, start, stop)

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while True:
            try:
                piece = next(self._pieces)
            except Orphaned:
                self._succeed()
            else:
                self.offset += piece.count if isinstance(piece, FileSlice) else len(piece)
                return piece

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()

    def _succeed(self) -> None:
        """Go on from somewhere else: the store, a flight, or the origin."""
        while self._successions < _SUCCESSIONS:
            self._successions += 1
            with contextlib.suppress(Orphaned):
                self._pieces = self._successor()
                return
        raise BrokenOff("the download lost its process too many times")

    def _successor(self) -> Iterator[Piece]:
        """The pieces from here on; raises Orphaned where whoever had them is gone as well."""
        entry = self._entry()
        stored = self._stored(entry)
        if stored is not None:
            with contextlib.suppress(FileNotFoundError):
                return self._follower.stored_body(stored, self.offset, self._stop)
        joined = self._follower.flights.join(self._flight.key)
        if isinstance(joined, NotStorable):
            return self._alone(entry)
        if isinstance(joined, Lead):
            return self._lead(joined.permit, entry)
        return self._follow(joined.flight, entry)

    def _entry(self) -> Entry:
        assert self._answered.entry is not None, "a client reads a body after its head"
        return self._answered.entry

    def _stored(self, wanted: Entry) -> Entry | None:
        """The stored entry that a flight has become, or an equal one."""
        for entry in self._follower.index.lookup(wanted.key):
            if entry.vary == wanted.vary and (
                entry.response_time == wanted.response_time or same_representation(wanted.head, entry.head)
            ):
                return entry
        return None

    def _lead(self, permit: Permit, entry: Entry) -> Iterator[Piece]:
        """Lead from here on, with this client's request; its own body comes through the flight."""
        fetch = Fetch(self._unconditional(), None, Forward.PARTIAL)
        led = self._follower.downloader.lead(permit, self._request, fetch, self._outcome)
        if isinstance(led, Passed):
            led.exchange.close()
            return self._alone(entry)
        assert isinstance(led, Downloading), "there is no stale copy to fall back to"
        try:
            return self._follow(permit.flight, entry)
        finally:
            led.start()

    def _follow(self, flight: Flight, entry: Entry) -> Iterator[Piece]:
        if flight.partial == self._flight.partial:
            # The same file, gone on with: what is there can be read before the origin has answered.
            now = replace(self._answered, generation=0, end=None)
        else:
            now = flight.wait_head()
            if now.entry is None or not same_representation(entry.head, now.entry.head):
                if now.end in (End.ORPHANED, End.LOST, End.STORED):
                    raise Orphaned(self.offset)
                return self._alone(entry)
        pieces = flight.read(now, self.offset, self._stop, given=self.offset > self._start)
        self._flight, self._answered = flight, now
        return pieces

    def _alone(self, entry: Entry) -> Iterator[Piece]:
        """The rest straight from the origin, if it is still the same representation; raises BrokenOff."""
        validator = strong_validator(entry.head)
        if validator is None:
            raise BrokenOff("the download ended, and without a strong validator it cannot go on")
        last = "" if self._stop is None else str(self._stop - 1)
        headers = self._unconditional().with_field("Range", f"bytes={self.offset}-{last}")
        request = self._request.with_headers(headers.with_field("If-Range", validator))
        exchange = self._follower.upstream.send(request, self._outcome)
        end = complete_length(exchange.head) if self._stop is None else self._stop
        if not ranges.continues(exchange.head, entry.head, self.offset) or end is None:
            exchange.close()
            raise BrokenOff("the download ended, and the origin has something else now")
        return _first_bytes(exchange, end - self.offset)

    def _unconditional(self) -> Headers:
        return strip_conditionals(end_to_end(self._request.headers))


def _first_bytes(exchange: Exchange, count: int) -> Iterator[bytes]:
    """So many bytes of the body; raises BrokenOff where there are fewer."""
    with contextlib.closing(exchange):
        for data in exchange:
            yield data[:count]
            count -= len(data)
            if count <= 0:
                return
        raise BrokenOff(f"the origin left out the last {count} bytes")
