"""A leader's side of a flight: it publishes the progress, commits the body and ends the flight."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from pyproxycache import clock
from pyproxycache.errors import ProxyError
from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.partial import Partial
from pyproxycache.store.flights.claims import Claims
from pyproxycache.store.flights.flight import LocalFlight
from pyproxycache.store.flights.flight_rows import Won
from pyproxycache.store.store_errors import logging_store_errors
from pyproxycache.store.values import End, Progress

UNCHECKED = 1
"""Bytes withheld from followers of what a dead leader left, whose whole may have to match a digest."""


class LocalWriter:
    """The right to download a key: publishes the progress, commits the result, ends the flight once.

    Belongs to one thread at a time. `entry` and `size` tell what a dead leader left to resume; before that,
    or `begin`, there is no file. `withheld` is how many of the bytes in the file nobody is given before the
    body is whole.
    """

    def __init__(
        self, claims: Claims, flight: LocalFlight, won: Won, drop: Callable[[LocalFlight], None]
    ) -> None:
        """`drop` is called so that nobody finds the flight any more."""
        self._claims = claims
        self._drop = drop
        self._claim = won.claim
        self.flight = flight
        self._file = won.file
        self._file_number = 0
        self._begun = False
        self._listed = True
        self._length: int | None = None
        self._generation = 0
        self.withheld = UNCHECKED
        self.ended = False

    @property
    def key(self) -> FlightKey:
        """The flight key that is led."""
        return self._claim.key

    @property
    def entry(self) -> Entry | None:
        """The head that was recorded last, by this leader or by the one it succeeds."""
        return self._claim.entry

    @property
    def file(self) -> Partial:
        """The body's file, which is there once it has begun."""
        assert self._file is not None, "a body has a file once it has begun"
        return self._file

    @property
    def size(self) -> int:
        """Bytes of the body that are in the file."""
        return self._file.size if self._file is not None else 0

    def publish_size(self) -> None:
        """Tell the followers how many bytes there are now."""
        self.flight.publish(self._progress())

    def begin(self, entry: Entry, length: int | None) -> None:
        """Record the head for a successor, and tell the followers.

        Makes the file, if there is none yet. Raises StoreError where that fails.
        """
        self._begun, self._length = True, length
        if self._file is None:
            self._open(entry)
        else:
            self._record(entry)
        self.flight.publish(self._progress())

    def _open(self, entry: Entry) -> None:
        claim = replace(self._claim, entry=entry, partial=self._claim.token)
        self._file = self._claims.open_file(claim, clock.wall())
        self._claim = self.flight.claim = claim
        self.flight.open_file(self._file.open_reader())

    def begin_anew(self, entry: Entry, length: int | None) -> bool:
        """Begin the body again from its first byte; False where a client has bytes that this leader wrote.

        A dead leader's bytes do not prevent it, but their file stays as it is; its readers break off. Those
        who were given nothing go on with the new body, if its head fits.
        """
        if self._begun and not self.flight.is_untouched():
            return False
        self._generation += 1
        if self.size == 0:
            self.begin(entry, length)
            return True
        fresh = self._claims.new_file(secrets.token_hex(8))
        reader = fresh.open_reader()
        self.file.discard()
        self._file = fresh
        self._file_number += 1
        self._begun, self._length = True, length
        self._record(entry)
        self.flight.begin_anew(reader, self._progress())
        return True

    def _record(self, entry: Entry) -> None:
        self._claim = self.flight.claim = replace(self._claim, entry=entry, partial=self.file.path.name)
        with logging_store_errors("note the head of", self.key.cache_key):
            self._claims.record(self._claim)

    def feed_without_file(self, data: bytes, total: int) -> bool:
        """Pass on bytes that no file has room for to followers in this process; False when none is left."""
        return self.flight.append_overflow(
            data, Progress(self._generation, total, self.entry, self._length, file=None)
        )

    def unlist(self, not_storable_until: float) -> None:
        """Let nobody join any more; those who have joined go on."""
        self._drop(self.flight)
        self._end_claim(not_storable_until)

    def _end_claim(self, not_storable_until: float | None = None) -> None:
        if self._listed:
            self._listed = False
            with logging_store_errors("end the claim on", self.key.cache_key):
                self._claims.finish(self._claim, not_storable_until=not_storable_until)

    def end_here(self, entry: Entry) -> None:
        """Take what is there of a part as all of it; `entry` is the part shortened to that."""
        self._claim = self.flight.claim = replace(self._claim, entry=entry)
        self._length = self.size

    def store(self, entry: Entry) -> int | None:
        """Commit the whole body and end the flight; gives the entry's id. Raises StoreError.

        None where the key was purged meanwhile.
        """
        stored = self._claims.store(self._claim, entry, self.file)
        self._end(self._progress(End.STORED))
        self.file.discard()
        return stored

    def store_at_once(self, entry: Entry, body: bytes) -> int | None:
        """Commit a body that came with its head and has no file, as store() does.

        Followers read it in any case. None if it was purged meanwhile; raises StoreError after the end.
        """
        end = End.UNSTORED
        try:
            stored = self._claims.store(self._claim, entry, body)
            end = End.STORED
        finally:
            if end is End.UNSTORED:
                self._end_claim()
            size = len(body)
            self.ended = True
            self._drop(self.flight)
            self.flight.end_whole(body, Progress(size=size, entry=entry, length=size, end=end))
            self.flight.leave()
        return stored

    def finish(
        self,
        end: End,
        *,
        error: ProxyError | None = None,
        not_storable_until: float | None = None,
        total: int | None = None,
    ) -> None:
        """End the flight with nothing stored; raises nothing of the store's."""
        self._end_claim(not_storable_until)
        self._end(self._progress(end, error, total))
        if self._file is not None:
            self._file.discard()

    def leave_for_successor(self, end: End, error: ProxyError | None = None) -> None:
        """End the flight, but keep its row and file, which the next leader resumes."""
        self._drop(self.flight)
        self.file.release()  # before anyone hears of the end and asks for the locks
        self._claims.leave(self._claim)
        self._end(self._progress(end, error))

    def _progress(
        self, end: End | None = None, error: ProxyError | None = None, total: int | None = None
    ) -> Progress:
        if total is not None:
            return Progress(self._generation, total, self.entry, self._length, end, error, file=None)
        whole = end in (End.STORED, End.UNSTORED)
        size = self.size if whole else max(0, self.size - self.withheld)
        return Progress(self._generation, size, self.entry, self._length, end, error, self._file_number)

    def _end(self, progress: Progress) -> None:
        self.ended = True
        self._drop(self.flight)
        self.flight.publish(progress)
        self.flight.leave()
