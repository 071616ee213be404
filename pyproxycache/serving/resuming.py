"""What is asked of an origin for a body that is to go on, and what of its answer is one client's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from pyproxycache.body import Body, Piece
from pyproxycache.download.leading import Downloading, Led, Passed, WholeInstead
from pyproxycache.errors import BrokenOff
from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.rules.grammar import end_to_end
from pyproxycache.rules.parts import range_of
from pyproxycache.rules.representation import resumption_validator
from pyproxycache.rules.validation import strip_conditionals
from pyproxycache.store.ports import DownloadWriter
from pyproxycache.store.values import End
from pyproxycache.upstream.exchange import Exchange


def plain_headers(request: Request) -> Headers:
    """The request's fields as for a whole response, whatever the client has already."""
    return strip_conditionals(end_to_end(request.headers))


def asking_for(entry: Entry, request: Request) -> Headers:
    """The fields of a request for what the entry is: all of a representation, or a part of it."""
    headers, validator = plain_headers(request), resumption_validator(entry.head)
    if entry.part is None or validator is None:
        return headers
    return headers.with_field("Range", range_of(entry.part)).with_field("If-Range", validator)


def begun(led: Led, writer: DownloadWriter) -> Downloading | None:
    """The download that a request for more has begun; None where its answer is of no use to the flight."""
    if isinstance(led, Passed | WholeInstead):
        led.exchange.close()
        if isinstance(led, WholeInstead):
            writer.finish(End.LOST)
        return None
    assert isinstance(led, Downloading), "there is no stale copy to fall back to"
    return led


class FirstBytes(Body):
    """So many bytes of an answer; raises BrokenOff where there are fewer."""

    def __init__(self, exchange: Exchange, count: int) -> None:
        self._exchange = exchange
        self._left = count

    def __next__(self) -> Piece:
        if self._left <= 0:
            self.close()
            raise StopIteration
        data = self._exchange.read()[: self._left]
        if not data:
            raise BrokenOff(f"the origin left out the last {self._left} bytes")
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._exchange.close()


class MadeOf(Body):
    """What is made of an origin's answer as it arrives."""

    def __init__(self, exchange: Exchange, pieces: Iterator[bytes]) -> None:
        self._exchange = exchange
        self._pieces = pieces

    def __next__(self) -> Piece:
        return next(self._pieces)

    def close(self) -> None:
        self._exchange.close()


_ALIKE = ("content-type", "content-encoding", "last-modified", "etag")


def is_alike(known: Head, now: Head) -> bool:
    """Whether the new answer can be the body of the head that a client has, if the bytes agree."""
    return known.status == now.status == 200 and all(
        known.headers.get(name) == now.headers.get(name) for name in _ALIKE
    )


class GivenBytes:
    """What a client was given of a body that has no strong validator, in the file that it came from.

    The descriptor is its own from here on.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def reach_to(self, offset: int) -> bool:
        """Whether the file has all up to the offset: what came without it is known to nobody any more."""
        return os.fstat(self._fd).st_size >= offset

    def gone_on(self, exchange: Exchange, offset: int, stop: int | None) -> Iterator[bytes]:
        """The bytes from the offset up to `stop`, or the end, of an answer that begins as the file does.

        Raises BrokenOff where it does not, or is shorter.
        """
        place = 0
        with contextlib.closing(exchange):
            for data in exchange:
                given = min(len(data), max(0, offset - place))
                if given and os.pread(self._fd, given, place) != data[:given]:
                    raise BrokenOff("the download ended, and the origin has something else now")
                rest = data[given : None if stop is None else max(0, stop - place)]
                place += len(data)
                if rest:
                    yield rest
                if stop is not None and place >= stop:
                    return
            if place < (offset if stop is None else stop):
                raise BrokenOff(f"the origin's body ended at {place}")

    def __del__(self) -> None:
        os.close(self._fd)
