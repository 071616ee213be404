"""A span of a representation out of whatever has it: parts that are stored, downloads, or the origin."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from pyproxycache.body import Body, Piece, WouldBlock, size_of
from pyproxycache.download.leading import Downloader
from pyproxycache.download.surroundings import Surroundings, read
from pyproxycache.errors import BrokenOff, StoreError
from pyproxycache.messages import Entry, Headers, Part, Request, without_query
from pyproxycache.outcome import Forward, Outcome
from pyproxycache.routing.flight_key import FlightKey, flight_key
from pyproxycache.rules.decisions import Fetch
from pyproxycache.rules.parts import filling
from pyproxycache.rules.ranges import continues, range_text
from pyproxycache.rules.validation import strong_validator
from pyproxycache.serving.resuming import FirstBytes, asking_for, begun, plain_headers
from pyproxycache.store.ports import DownloadWriter, Flights, LeadFlight, NotStorable
from pyproxycache.store.values import End, Orphaned
from pyproxycache.upstream.client import Upstream

log = logging.getLogger("pyproxycache.span")

_VAIN = 5
"""Sources in a row that may turn out to have nothing, such as downloads that end at this moment."""


class Sources(Protocol):
    """What bodies are made of."""

    @property
    def surroundings(self) -> Surroundings: ...
    @property
    def flights(self) -> Flights: ...
    @property
    def downloader(self) -> Downloader: ...
    @property
    def upstream(self) -> Upstream: ...
    def admit_peer(self, client: str, peer: str) -> None:
        """Raises Forbidden where the client may not have what came from that address."""


@dataclass(frozen=True, slots=True)
class SpanRequest:
    """A client's request, and a part, as from as_part(), of the representation it is answered with."""

    request: Request
    outcome: Outcome
    like: Entry


class Span(Body):
    """One client's bytes from `offset` up to `stop` of a representation, from one source after the other.

    `offset` is where the next piece begins; `pieces`, where they are given, are the first ones.
    """

    def __init__(
        self, sources: Sources, wanted: SpanRequest, offset: int, stop: int, pieces: Body | None = None
    ) -> None:
        self.offset = offset
        self._stop = stop
        self._sources = sources
        self._wanted = wanted
        self._pieces: Body | None = pieces
        self._vain = 0

    def __next__(self) -> Piece:
        while self.offset < self._stop:
            try:
                if self._pieces is None:
                    self._pieces = self._next_source()
                return self._counted(next(self._pieces))
            except (StopIteration, Orphaned):
                self._turn_away()
        raise StopIteration

    def take(self, wake: Callable[[], None], /) -> Piece | None:
        if self.offset >= self._stop:
            raise StopIteration
        if self._pieces is None:
            raise WouldBlock
        try:
            piece = self._pieces.take(wake)
        except (StopIteration, Orphaned) as over:
            self._turn_away()
            raise WouldBlock from over
        return piece and self._counted(piece)

    def _counted(self, piece: Piece) -> Piece:
        self.offset += size_of(piece)
        self._vain = 0
        return piece

    def _turn_away(self) -> None:
        """The source has nothing more."""
        self.close()
        self._vain += 1
        if self._vain > _VAIN:
            raise BrokenOff("those who had the bytes lost them too many times")

    def close(self) -> None:
        pieces, self._pieces = self._pieces, None
        if pieces is not None:
            pieces.close()

    def _next_source(self) -> Body:
        """The pieces from here on; raises Orphaned where whoever had them is gone again."""
        like, around = self._wanted.like, self._sources.surroundings
        for find in (around.stored, around.arriving):
            pieces = find(like, self.offset, self._stop, admit=self._admit)
            if pieces is not None:
                return pieces
        return self._fetched()

    def _admit(self, entry: Entry) -> None:
        self._sources.admit_peer(self._wanted.request.client, entry.peer)

    def _fetched(self) -> Body:
        """From the origin, by a download that goes on from a dead one, or that is to fill the gap."""
        key, like = self._sources.surroundings.left_at(self._wanted.like, self.offset) or self._gap()
        headers = asking_for(like, self._wanted.request)
        try:
            joined = self._sources.flights.join(key)
        except StoreError as error:
            log.warning("%s is served but not stored: %s", without_query(like.key), error)
            return self._alone()
        if isinstance(joined, NotStorable):
            return self._alone()
        if isinstance(joined, LeadFlight):
            return self._lead(joined.writer, like, headers)
        pieces = read(joined.flight, like, self.offset, self._stop, self._admit)
        if pieces is not None:
            return pieces
        if joined.flight.progress().end in (None, End.PASSED, End.FAILED, End.BROKEN, End.STALE):
            return self._alone()
        raise Orphaned(self.offset)

    def _gap(self) -> tuple[FlightKey, Entry]:
        """The part from here up to what others have, with the flight key of those who want it."""
        like, request = self._wanted.like, self._wanted.request
        assert like.part is not None, "as_part() gives a part"
        ahead = self._sources.surroundings.first_ahead(like, self.offset)
        if ahead == self.offset:
            raise Orphaned(self.offset)  # somebody has it now
        stop = self._stop if ahead is None else min(ahead, self._stop)
        gap = replace(like, id=0, digest="", size=0, part=Part(self.offset, stop - 1, like.part.total))
        whole = flight_key(like.key, [name for name, _value in like.vary], request)
        return whole.of_part(asking_for(gap, request).get("range") or ""), gap

    def _lead(self, writer: DownloadWriter, like: Entry, headers: Headers) -> Body:
        """Lead, with this client's request; its own bytes come through the flight."""
        assert like.part is not None, "as_part() gives a part"
        wanted = self._wanted
        fetch = Fetch(headers, None, Forward.PARTIAL, plan=filling(like.head, like.part))
        led = self._sources.downloader.lead(writer, wanted.request, fetch, wanted.outcome)
        downloading = begun(led, writer)
        if downloading is None:
            return self._alone()
        try:
            pieces = read(writer.flight, like, self.offset, self._stop, self._admit)
        finally:
            downloading.start()
        return pieces or self._alone()

    def _alone(self) -> Body:
        """Straight from the origin, if it still has the same representation; raises BrokenOff."""
        like, request = self._wanted.like, self._wanted.request
        validator = strong_validator(like.head)
        assert validator is not None, "as_part() gives a part that has one"
        headers = plain_headers(request).with_field("Range", range_text(self.offset, self._stop - 1))
        asked = request.with_headers(headers.with_field("If-Range", validator))
        exchange = self._sources.upstream.send(asked, self._wanted.outcome)
        if not continues(exchange.head, like.head, self.offset):
            exchange.close()
            raise BrokenOff("the download ended, and the origin has something else now")
        return FirstBytes(exchange, self._stop - self.offset)
