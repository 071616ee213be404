"""Following a flight: a body that is read as it arrives and outlives its leader."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pyproxycache.download import Downloader, Downloading, Passed
from pyproxycache.errors import BrokenOff
from pyproxycache.messages import Entry, FileSlice, Piece, Request
from pyproxycache.outcome import Forward, Outcome
from pyproxycache.rules import ranges
from pyproxycache.rules.decide import Fetch
from pyproxycache.rules.validation import same_representation, strip_conditionals, strong_validator
from pyproxycache.store.blobs import BlobReader, Blobs, Damaged
from pyproxycache.store.claims import NotStorable
from pyproxycache.store.flight import End, Flight, Orphaned, Progress
from pyproxycache.store.flights import Flights, Lead
from pyproxycache.store.index import Index
from pyproxycache.upstream import Upstream

log = logging.getLogger("pyproxycache.follow")

_SUCCESSIONS = 5


class Follower:
    """Gives clients the bodies of flights; when a leader dies, follows its successor or becomes it."""

    def __init__(
        self, index: Index, blobs: Blobs, flights: Flights, downloader: Downloader, upstream: Upstream
    ) -> None:
        self._index = index
        self._blobs = blobs
        self._flights = flights
        self._downloader = downloader
        self._upstream = upstream

    def body(
        self, request: Request, flight: Flight, answered: Progress, start: int, stop: int | None
    ) -> Iterable[Piece]:
        """The flight's body from `start` up to `stop`; raises Orphaned if it is over already."""
        return self._succeeding(request, flight, answered, flight.read(answered, start, stop), start, stop)

    def _succeeding(
        self,
        request: Request,
        flight: Flight,
        answered: Progress,
        pieces: Iterator[Piece],
        offset: int,
        stop: int | None,
    ) -> Iterator[Piece]:
        """The pieces; where their leader dies, those of its successor from the same offset on."""
        start = offset
        for _ in range(_SUCCESSIONS):
            try:
                with contextlib.closing(pieces):  # type: ignore[type-var]
                    for piece in pieces:
                        offset += piece.count if isinstance(piece, FileSlice) else len(piece)
                        yield piece
                return
            except Orphaned:
                given = offset > start
                flight, answered, pieces = self._succeed(request, flight, answered, offset, stop, given)
        raise BrokenOff("the download lost its process too many times")

    def _succeed(
        self,
        request: Request,
        flight: Flight,
        answered: Progress,
        offset: int,
        stop: int | None,
        given: bool,
    ) -> tuple[Flight, Progress, Iterator[Piece]]:
        """Go on at `offset` of what the client was told: from the store, a flight, or the origin."""
        assert answered.entry is not None, "a client reads a body after its head"
        stored = self._stored(answered.entry)
        if stored is not None:
            return flight, answered, self.stored_body(stored, offset, stop)
        joined = self._flights.join(flight.key)
        if isinstance(joined, NotStorable):
            return flight, answered, self._alone(request, answered.entry, offset, stop)
        if isinstance(joined, Lead):
            self._take_over(joined, request)
        successor = joined.permit.flight if isinstance(joined, Lead) else joined.flight
        if successor.partial == flight.partial:
            # The same file, gone on with: what is there can be read before the origin has answered.
            now = replace(answered, generation=0, end=None)
        else:
            now = successor.wait_head()
            if now.entry is None or not same_representation(answered.entry.head, now.entry.head):
                if now.end in (End.ORPHANED, End.LOST, End.STORED):
                    return flight, answered, _failing(Orphaned(offset))
                return flight, answered, self._alone(request, answered.entry, offset, stop)
        try:
            return successor, now, successor.read(now, offset, stop, given=given)
        except Orphaned as gone:
            return flight, answered, _failing(gone)

    def _take_over(self, lead: Lead, request: Request) -> None:
        """Lead from here on, with this client's request; its own body comes through the flight."""
        fetch = Fetch(strip_conditionals(request.headers), None, Forward.PARTIAL)
        led = self._downloader.lead(lead.permit, request, fetch, Outcome())
        if isinstance(led, Passed):
            led.exchange.close()
        assert isinstance(led, Passed | Downloading), "there is no stale copy to fall back to"

    def _stored(self, wanted: Entry) -> Entry | None:
        """The stored entry that a flight has become, or an equal one."""
        for entry in self._index.lookup(wanted.key):
            if entry.vary == wanted.vary and (
                entry.response_time == wanted.response_time or same_representation(wanted.head, entry.head)
            ):
                return entry
        return None

    def stored_body(self, entry: Entry, start: int, stop: int | None) -> Iterator[Piece]:
        """A blob's bytes; raises FileNotFoundError where it is gone, after forgetting what names it."""
        try:
            fd = self._blobs.open(entry.digest, entry.size)
        except Damaged as error:
            log.error("%s; what names it is forgotten and fetched again", error)
            self._index.drop_blob(entry.digest, self._blobs.remove)
            raise FileNotFoundError(str(error)) from error
        except FileNotFoundError:
            # Just evicted, and then nothing names it; or lost, and then nothing must.
            self._index.drop_blob(entry.digest, self._blobs.remove)
            raise
        return BlobReader(fd, start, entry.size if stop is None else stop)

    def _alone(self, request: Request, entry: Entry, offset: int, stop: int | None) -> Iterator[Piece]:
        """The rest straight from the origin, if it is still the same representation."""
        validator = strong_validator(entry.head)
        if validator is None:
            return _failing(BrokenOff("the download ended, and without a validator it cannot go on"))
        headers = strip_conditionals(request.headers)
        last = "" if stop is None else str(stop - 1)
        headers = headers.with_field("Range", f"bytes={offset}-{last}").with_field("If-Range", validator)
        exchange = self._upstream.send(request.with_headers(headers))
        if exchange.head.status != 206 or not ranges.continues(exchange.head, entry.head, offset):
            exchange.close()
            return _failing(BrokenOff("the download ended, and the origin has something else now"))
        return iter(exchange)


def _failing(error: Exception) -> Iterator[Piece]:
    """A body that ends with the error before its first byte."""
    yield from ()
    raise error
