"""The rest of one client's body straight from the origin, where nobody else brings it in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from pyproxycache.body import Body, FileSlice, Piece
from pyproxycache.errors import BrokenOff
from pyproxycache.rules.ranges import continues, range_text
from pyproxycache.rules.representation import resumption_validator
from pyproxycache.rules.resumption import is_alike, is_whole, plain_headers
from pyproxycache.rules.validation import complete_length, strong_validator
from pyproxycache.serving.arriving import FlightRead, SpanRead
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.exchange import Exchange

_OTHER = "the download ended, and the origin has something else now"


class OriginBody(Body):
    """Some of the bytes of an origin's answer, as they arrive; closes the answer at its end."""

    def __init__(self, exchange: Exchange, pieces: Iterator[bytes]) -> None:
        self._exchange = exchange
        self._pieces = pieces

    def __next__(self) -> Piece:
        try:
            return next(self._pieces)
        except BaseException:  # its end, too
            self.close()
            raise

    def close(self) -> None:
        self._exchange.close()


class GivenBytes:
    """The file from which a client was given the beginning of a body that has no strong validator."""

    def __init__(self, piece: FileSlice) -> None:
        """Hold the file of a piece that the client was given; raises OSError."""
        self._fd = os.dup(piece.fd)

    def reach_to(self, offset: int) -> bool:
        """Whether the file has all bytes before the offset; what came from memory is in no file."""
        return os.fstat(self._fd).st_size >= offset

    def compared(self, exchange: Exchange, start: int, offset: int) -> Iterator[bytes]:
        """The answer's bytes, compared with the file from `start` up to the offset.

        Raises BrokenOff if they differ.
        """
        place = 0
        for data in exchange:
            first, last = max(place, start), min(place + len(data), offset)
            if (
                first < last
                and os.pread(self._fd, last - first, first) != data[first - place : last - place]
            ):
                raise BrokenOff(_OTHER)
            place += len(data)
            yield data

    def __del__(self) -> None:
        os.close(self._fd)


class DirectBodies:
    """Gives one client the rest of its body from the origin; raises BrokenOff if that has changed."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def of_flight(self, read: FlightRead, offset: int, given: GivenBytes | None) -> Body:
        """The flight's body from the offset on, from the origin; raises BrokenOff if it has changed.

        If no validator tells that, the bytes that the client was `given` are compared.
        """
        entry, stop, base = read.entry, read.stop, read.entry.first_byte
        validator = resumption_validator(entry.head)
        by_pool = read.inquiry.request.pool
        if by_pool is not None and by_pool.has_several and not (validator or "").startswith('"'):
            raise BrokenOff("another upstream may have something else, and no entity tag tells")
        if validator is None:
            return self._by_bytes(read, offset, given)
        last = None if stop is None else base + stop - 1
        headers = plain_headers(read.inquiry.request).with_field("Range", range_text(base + offset, last))
        request = read.inquiry.request.with_headers(headers.with_field("If-Range", validator))
        exchange = self._upstream.send(request, read.inquiry.facts)
        if entry.part is None and is_whole(exchange.head, entry.head):
            return OriginBody(exchange, _from_byte(exchange, offset, stop))
        end = complete_length(exchange.head) if stop is None else base + stop
        if not continues(exchange.head, entry.head, base + offset) or end is None:
            exchange.close()
            raise BrokenOff(_OTHER)
        return OriginBody(exchange, _first_bytes(exchange, end - base - offset))

    def _by_bytes(self, read: FlightRead, offset: int, given: GivenBytes | None) -> Body:
        """The whole body once more, compared with the bytes that the client was given."""
        is_begun = offset > read.start
        if is_begun and (given is None or not given.reach_to(offset)):
            raise BrokenOff("the download ended, and without a strong validator it cannot go on")
        request = read.inquiry.request.with_headers(plain_headers(read.inquiry.request))
        exchange = self._upstream.send(request, read.inquiry.facts)
        if exchange.length != read.answered.length or not is_alike(read.entry.head, exchange.head):
            exchange.close()
            raise BrokenOff(_OTHER)
        whole: Iterable[bytes] = exchange
        if is_begun and given is not None:
            whole = given.compared(exchange, read.start, offset)
        return OriginBody(exchange, _from_byte(whole, offset, read.stop))

    def of_span(self, read: SpanRead, offset: int) -> Body:
        """The span's bytes from the offset on, from the origin; raises BrokenOff if these have changed."""
        validator = strong_validator(read.like.head)
        assert validator is not None, "as_part() gives a part that has one"
        headers = plain_headers(read.inquiry.request).with_field("Range", range_text(offset, read.stop - 1))
        request = read.inquiry.request.with_headers(headers.with_field("If-Range", validator))
        exchange = self._upstream.send(request, read.inquiry.facts)
        if not continues(exchange.head, read.like.head, offset):
            exchange.close()
            raise BrokenOff(_OTHER)
        return OriginBody(exchange, _first_bytes(exchange, read.stop - offset))


def _first_bytes(exchange: Exchange, count: int) -> Iterator[bytes]:
    """The first `count` bytes of an answer; raises BrokenOff if there are fewer."""
    while count > 0:
        data = exchange.read()[:count]
        if not data:
            raise BrokenOff(f"the origin left out the last {count} bytes")
        count -= len(data)
        yield data


def _from_byte(whole: Iterable[bytes], offset: int, stop: int | None) -> Iterator[bytes]:
    """The body from the offset up to `stop` (None: its end); raises BrokenOff if it is shorter."""
    place = 0
    for data in whole:
        kept = data[max(0, offset - place) : None if stop is None else stop - place]
        place += len(data)
        if kept:
            yield kept
        if stop is not None and place >= stop:
            return
    if place < (offset if stop is None else stop):
        raise BrokenOff(f"the origin's body ended at {place}")
