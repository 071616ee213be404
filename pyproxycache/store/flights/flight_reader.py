"""One client's reading of a flight's body: its place, and whether it accepts a body that began anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pyproxycache.body import Body, Piece, size_of
from pyproxycache.errors import BrokenOff, ProxyError
from pyproxycache.store.values import Progress


class _FlightBody(Protocol):
    """The flight, as far as its readers use it."""

    def add_reader(self, start: int) -> int:
        """Hold the flight's file for one more reader; gives the reader's number. Raises Orphaned."""

    def next_piece(
        self, reader: FlightReader, wake: Callable[[], None] | None
    ) -> tuple[bool, Piece | None]:
        """Whether the reader can go on, and its piece (None: the end); waits if `wake` is None."""

    def leave(self, reader: int | None = None) -> None:
        """Let go of the flight's file, for the reader with this number."""


class FlightReader(Body):
    """Reads a flight's body for one client; leaves the flight at the end, on an error, or when closed."""

    def __init__(
        self, flight: _FlightBody, answered: Progress, start: int, stop: int | None, given: bool
    ) -> None:
        self._flight: _FlightBody | None = None
        self.answered = answered
        self.offset = start
        self.stop = stop
        self.given = given
        self.number = flight.add_reader(start)
        self._flight = flight

    def __next__(self) -> Piece:
        piece = self._next(None)
        assert piece is not None, "it waits until there is one"
        return piece

    def take(self, wake: Callable[[], None], /) -> Piece | None:
        return self._next(wake)

    def _next(self, wake: Callable[[], None] | None) -> Piece | None:
        if self.stop is not None and self.offset >= self.stop:
            self.close()
        if self._flight is None:
            raise StopIteration
        try:
            there, piece = self._flight.next_piece(self, wake)
        except BaseException:
            self.close()
            raise
        if not there:
            return None
        if piece is None:
            self.close()
            raise StopIteration
        self.offset += size_of(piece)
        return piece

    def can_go_on(self, now: Progress) -> bool:
        """Whether the reader need not wait: for a piece, the end, or the head of a body begun anew."""
        if now.end is not None or now.size > self.offset:
            return True
        return now.generation != self.answered.generation and (self.given or now.entry is not None)

    def start_anew(self, now: Progress) -> None:
        """Read the new body from here on; raises ProxyError where the client has been sent the old one."""
        if self.given or not _same_head(self.answered, now):
            raise why_broken(now, "the origin broke off, and its new answer may differ from the old")
        self.answered = now

    def close(self) -> None:
        if self._flight is not None:
            flight, self._flight = self._flight, None
            flight.leave(self.number)

    def __del__(self) -> None:
        self.close()


def why_broken(now: Progress, otherwise: str) -> ProxyError:
    """The error that ended the body, as a new one for this thread to raise."""
    return BrokenOff(otherwise) if now.error is None else now.error.another()


def _same_head(old: Progress, new: Progress) -> bool:
    """Whether a client that was sent the old head may be sent the body of the new one."""
    if old.entry is None or new.entry is None or old.length != new.length:
        return False
    fields = ("content-type", "content-encoding", "content-length", "etag", "last-modified")
    return old.entry.status == new.entry.status and all(
        old.entry.headers.get(name) == new.entry.headers.get(name) for name in fields
    )
