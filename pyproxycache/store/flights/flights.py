"""Single download: who leads a key and who follows, across threads and worker processes."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.errors import ProxyError, StoreError
from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.partial import Partial
from pyproxycache.store.flights.claims import Claim, Claims, NotStorable, Taken, Won
from pyproxycache.store.flights.feed import FlightServer, RemoteFlightReader, Terms
from pyproxycache.store.flights.flight import End, Flight, Progress
from pyproxycache.store.index.database import logging_store_errors

# Of what a dead leader left, whose whole may have to match a digest.
_UNCHECKED = 1

_tokens = itertools.count(secrets.randbits(32))


def new_token() -> str:
    """A name that no other claim has, nor had: 16 characters."""
    return f"{os.getpid():08x}{next(_tokens) & 0xFFFFFFFF:08x}"


class DownloadWriter:
    """The right to download a key: publishes the progress, commits the result, ends the flight once.

    Belongs to one thread at a time. `entry` and `size` tell what a dead leader left to resume; before that,
    or `begin`, there is no file. `withheld` is how many of the bytes in the file nobody is given before the
    body is whole.
    """

    def __init__(self, flights: Flights, flight: Flight, won: Won) -> None:
        self._flights = flights
        self._claim = won.claim
        self.flight = flight
        self._file = won.file
        self._file_number = 0
        self._begun = False
        self._listed = True
        self._length: int | None = None
        self._generation = 0
        self.withheld = _UNCHECKED
        self.ended = False

    @property
    def key(self) -> FlightKey:
        return self._claim.key

    @property
    def entry(self) -> Entry | None:
        return self._claim.entry

    @property
    def file(self) -> Partial:
        assert self._file is not None, "a body has a file once it has begun"
        return self._file

    @property
    def size(self) -> int:
        return self._file.size if self._file is not None else 0

    def publish_size(self) -> None:
        """Tell the followers how much there is now."""
        self.flight.publish(self._progress())

    def begin(self, entry: Entry, length: int | None) -> None:
        """The head is known: note it for a successor and tell the followers. Raises StoreError.

        A first file is made, which may be what fails.
        """
        self._begun, self._length = True, length
        if self._file is None:
            self._open(entry)
        else:
            self._record(entry)
        self.flight.publish(self._progress())

    def _open(self, entry: Entry) -> None:
        claim = replace(self._claim, entry=entry, partial=self._claim.token)
        self._file = self._flights.claims.open_file(claim, clock.wall())
        self._claim = self.flight.claim = claim
        self.flight.open_file(self._file.open_reader())

    def begin_anew(self, entry: Entry, length: int | None) -> bool:
        """Start the body again from its first byte; False if a client was given bytes of this leader's.

        Bytes that a dead leader left are no obstacle, but their file stays as it is, for nobody knows who
        reads it: they break off. Who was given nothing goes on with the new body, if its head fits.
        """
        if self._begun and not self.flight.is_untouched():
            return False
        self._generation += 1
        if self.size == 0:
            self.begin(entry, length)
            return True
        fresh = self._flights.claims.new_file(secrets.token_hex(8))
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
            self._flights.claims.record(self._claim)

    def feed_without_file(self, data: bytes, total: int) -> bool:
        """Pass bytes on to the followers in this process only; False when none is left."""
        return self.flight.append_tail(
            data, Progress(self._generation, total, self.entry, self._length, file=None)
        )

    def unlist(self, not_storable_until: float) -> None:
        """Nobody joins from here on; those who have joined go on."""
        self._flights.drop(self.flight)
        self._end_claim(not_storable_until)

    def _end_claim(self, not_storable_until: float | None = None) -> None:
        if self._listed:
            self._listed = False
            with logging_store_errors("end the claim on", self.key.cache_key):
                self._flights.claims.finish(self._claim, not_storable_until=not_storable_until)

    def end_here(self, entry: Entry) -> None:
        """What is there of the part is all that comes; `entry` is the part shortened to that."""
        self._claim = self.flight.claim = replace(self._claim, entry=entry)
        self._length = self.size

    def store(self, entry: Entry) -> int | None:
        """Commit the whole body and end the flight; gives the entry's id. Raises StoreError.

        None if it was purged meanwhile.
        """
        stored = self._flights.claims.store(self._claim, entry, self.file)
        self._end(self._progress(End.STORED))
        self.file.discard()
        return stored

    def store_at_once(self, entry: Entry, body: bytes) -> int | None:
        """The same for a body that came whole and has no file. Followers read it in any case.

        None if it was purged meanwhile; raises StoreError after the end.
        """
        end = End.UNSTORED
        try:
            stored = self._flights.claims.store(self._claim, entry, body)
            end = End.STORED
        finally:
            if end is End.UNSTORED:
                self._end_claim()
            size = len(body)
            self.ended = True
            self._flights.drop(self.flight)
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
        """End the flight with nothing stored."""
        self._end_claim(not_storable_until)
        self._end(self._progress(end, error, total))
        if self._file is not None:
            self._file.discard()

    def leave_for_successor(self, end: End, error: ProxyError | None = None) -> None:
        """End the flight but keep its row and file: the next leader resumes it."""
        self._flights.drop(self.flight)
        self.file.release()  # before anyone hears of the end and asks for the locks
        self._flights.claims.leave(self._claim)
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
        self._flights.drop(self.flight)
        self.flight.publish(progress)
        self.flight.leave()


@dataclass(frozen=True, slots=True)
class LeadFlight:
    """This caller downloads."""

    writer: DownloadWriter


@dataclass(frozen=True, slots=True)
class JoinFlight:
    """Somebody else does."""

    flight: Flight


class Flights:
    """The flights of this process, and the claims of all.

    `_flights` (all) and `_led` (by token) are guarded by `_lock`; claims are made outside of it. A leader
    elsewhere that does not keep to the terms loses the key. Made after fork.
    """

    def __init__(self, claims: Claims, terms: Terms) -> None:
        self.claims = claims
        self._terms = terms
        self._lock = threading.Lock()
        self._flights: dict[FlightKey, Flight] = {}
        self._led: dict[str, Flight] = {}
        self._feed = FlightServer(claims.locks.address(os.getpid()), self._find_led, terms.silence)

    def join(self, key: FlightKey) -> LeadFlight | JoinFlight | NotStorable:
        """Lead the download of a key, or follow the one that runs."""
        while True:
            with self._lock:
                flight = self._flights.get(key)
                mine = flight is None
                if flight is None:
                    flight = self._flights[key] = Flight(key, new_token())
                    # Before the claim, for other processes ask for the flight once they see it.
                    self._led[flight.token] = flight
            if mine:
                return self._claim(flight)
            if self.is_current(flight):
                return JoinFlight(flight)

    def lead_after_all(self, key: FlightKey) -> LeadFlight | None:
        """Lead the download of a key although it was not storable; None where somebody else does."""
        self.claims.lift(key)
        joined = self.join(key)
        return joined if isinstance(joined, LeadFlight) else None

    def follow(self, key: FlightKey) -> JoinFlight | None:
        """Follow the download that runs; None, and no trace of having asked, where there is none."""
        while True:
            with self._lock:
                flight = self._flights.get(key)
            if flight is not None:
                if self.is_current(flight):
                    return JoinFlight(flight)
                continue
            claim = self.claims.leader(key)
            if claim is None:
                return None
            # Others find it from here on, and only here: somebody leads it.
            flight = Flight(key, claim.token)
            flight.claim = claim
            with self._lock:
                mine = self._flights.setdefault(key, flight) is flight
            if mine:
                try:
                    return self._mirror(flight, claim)
                except BaseException:
                    self._abandon(flight, End.LOST)
                    raise

    def runs_here(self, key: FlightKey) -> bool:
        """Whether this process leads the key, or follows another one that does."""
        with self._lock:
            return key in self._flights

    def is_current(self, flight: Flight) -> bool:
        """Whether it still runs, or is about to; dropped where it was purged."""
        claim = flight.claim
        if claim is None or self.claims.is_current(claim):
            return True
        self.drop(flight)
        return False

    def _claim(self, flight: Flight) -> LeadFlight | JoinFlight | NotStorable:
        try:
            found = self.claims.claim(flight.key, flight.token, clock.wall())
            match found:
                case Won(claim):
                    flight.claim = claim
                    return LeadFlight(self._permit(flight, found))
                case Taken(claim):
                    with self._lock:
                        self._led.pop(flight.token, None)
                        flight.token = claim.token
                    flight.claim = claim
                    return self._mirror(flight, claim)
        except BaseException:
            self._abandon(flight, End.LOST)
            raise
        self._abandon(flight, End.PASSED)
        return found

    def _mirror(self, flight: Flight, claim: Claim) -> JoinFlight:
        flight.head_was_known = claim.entry is not None
        RemoteFlightReader(flight, claim.owner, self._terms, self._mirrored).start()
        return JoinFlight(flight)

    def _permit(self, flight: Flight, won: Won) -> DownloadWriter:
        if won.file is not None:
            try:
                flight.open_file(won.file.open_reader())
            except StoreError:
                won.file.release()
                self.claims.leave(won.claim)
                raise
            # Readers of the dead leader go on with what is there; new ones wait for the head.
            flight.publish(Progress(0, won.file.size - _UNCHECKED))
        return DownloadWriter(self, flight, won)

    def _abandon(self, flight: Flight, end: End) -> None:
        self.drop(flight)
        flight.publish(Progress(end=end))
        flight.leave()

    def _find_led(self, token: str, key: FlightKey) -> Flight | None:
        """The flight that another process asks for: by its token, where it has one that shows."""
        with self._lock:
            flight = self._led.get(token) if token else self._flights.get(key)
            if flight is None or flight.token not in self._led:
                return None
        return flight if token or self.is_current(flight) else None

    def _mirrored(self, flight: Flight, silent: bool) -> None:
        if silent and flight.claim is not None:
            with logging_store_errors("take over", flight.key.cache_key):
                self.claims.end_silent(flight.claim)
        self.drop(flight)

    def drop(self, flight: Flight) -> None:
        """Nobody finds the flight from here on."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
            self._led.pop(flight.token, None)

    def close(self) -> None:
        self._feed.close()
