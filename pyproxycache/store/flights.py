"""Single download: who leads a key and who follows, across threads and worker processes."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pyproxycache.errors import ProxyError, StoreError
from pyproxycache.messages import Entry
from pyproxycache.store.blobs import Partial
from pyproxycache.store.claims import Claim, Claims, NotStorable, Taken, Won
from pyproxycache.store.database import going_on_unwritten
from pyproxycache.store.feed import Feed, Mirror
from pyproxycache.store.flight import End, Flight, Progress

# Of what a dead leader left, whose whole may have to match a digest.
_UNCHECKED = 1


class Permit:
    """The right to download a key: publishes the progress, commits the result, ends the flight once.

    Belongs to one thread at a time. `entry` and `size` tell what a dead leader left to resume.
    `withheld` is how many of the bytes in the file nobody is given before the body is whole.
    """

    def __init__(self, flights: Flights, flight: Flight, won: Won) -> None:
        self._flights = flights
        self._claim = won.claim
        self.flight = flight
        self.file: Partial = won.file
        self._file_number = 0
        self._begun = False
        self._length: int | None = None
        self._generation = 0
        self.withheld = _UNCHECKED
        self.ended = False

    @property
    def key(self) -> str:
        return self._claim.key

    @property
    def entry(self) -> Entry | None:
        return self._claim.entry

    @property
    def size(self) -> int:
        return self.file.size

    def publish_size(self) -> None:
        """Tell the followers how much there is now."""
        self.flight.publish(self._progress())

    def begin(self, entry: Entry, length: int | None) -> None:
        """The head is known: record it for a successor and tell the followers."""
        self._record(entry, length)
        self.flight.publish(self._progress())

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
        self.file = fresh
        self._file_number += 1
        self._record(entry, length)
        self.flight.begin_anew(reader, fresh.path.name, self._progress())
        return True

    def _record(self, entry: Entry, length: int | None) -> None:
        self._begun, self._length = True, length
        self._claim = replace(self._claim, entry=entry, partial=self.file.path.name)
        with going_on_unwritten("note the head of", self.key):
            self._flights.claims.record(self._claim)

    def feed_without_file(self, data: bytes, total: int) -> bool:
        """Pass bytes on to the followers in this process only; False when none is left."""
        return self.flight.append_tail(
            data, Progress(self._generation, total, self.entry, self._length, file=None)
        )

    def unlist(self, not_storable_until: float) -> None:
        """Nobody joins from here on; those who have joined go on."""
        self._flights.drop(self.flight)
        with going_on_unwritten("end the claim on", self.key):
            self._flights.claims.finish(self._claim, not_storable_until=not_storable_until)

    def store(self, entry: Entry) -> Entry | None:
        """Commit the whole body and end the flight; None if it was purged meanwhile."""
        stored = self._flights.claims.store(self._claim, entry, self.file)
        self._end(self._progress(End.STORED))
        self.file.discard()
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
        with going_on_unwritten("end the claim on", self.key):
            self._flights.claims.finish(self._claim, not_storable_until=not_storable_until)
        self._end(self._progress(end, error, total))
        self.file.discard()

    def leave_for_successor(self, end: End, error: ProxyError | None = None) -> None:
        """End the flight but keep its row and file: the next leader resumes it."""
        self._flights.drop(self.flight)
        self.file.release()  # before anyone hears of the end and asks for the lock
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
class Lead:
    """This caller downloads."""

    permit: Permit


@dataclass(frozen=True, slots=True)
class Follow:
    """Somebody else does."""

    flight: Flight


class Flights:
    """The flights of this process, and the claims of all.

    `_flights` (all), `_led` (by token) and `_expired` (tokens of leaders that showed no progress for
    `lease` seconds) are guarded by `_lock`; claims are made outside of it. Made after fork.
    """

    def __init__(self, claims: Claims, lease: float) -> None:
        self.claims = claims
        self._lease = lease
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}
        self._led: dict[str, Flight] = {}
        self._expired: set[str] = set()
        self._feed = Feed(self._find_led)

    def join(self, key: str) -> Lead | Follow | NotStorable:
        """Lead the download of a key, or follow the one that runs."""
        while True:
            with self._lock:
                flight = self._flights.get(key)
                mine = flight is None
                if flight is None:
                    flight = self._flights[key] = Flight(key, secrets.token_hex(8))
                    # Before the claim, for other processes ask for the token once they see it.
                    self._led[flight.token] = flight
            if mine:
                return self._claim(flight)
            if self._is_current(flight):
                return Follow(flight)

    def follow(self, key: str) -> Follow | None:
        """Follow the download that runs; None, and no trace of having asked, where there is none."""
        while True:
            with self._lock:
                flight = self._flights.get(key)
                expired = frozenset(self._expired)
            if flight is not None:
                if self._is_current(flight):
                    return Follow(flight)
                continue
            claim = self.claims.leader(key, expired)
            if claim is None:
                return None
            # Others find it from here on, and only here: somebody leads it.
            flight = Flight(key, claim.token)
            self._identify(flight, claim)
            with self._lock:
                mine = self._flights.setdefault(key, flight) is flight
            if mine:
                with self._abandoned_on_error(flight):
                    return self._mirror(flight, claim)

    def _is_current(self, flight: Flight) -> bool:
        """Whether it still runs, or is about to; dropped where it was purged or has just ended."""
        if not flight.claimed or self.claims.current(flight.key) == flight.token:
            return True
        self.drop(flight)
        return False

    @contextlib.contextmanager
    def _abandoned_on_error(self, flight: Flight) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._abandon(flight, End.LOST)
            raise

    def _claim(self, flight: Flight) -> Lead | Follow | NotStorable:
        with self._abandoned_on_error(flight):
            with self._lock:
                expired = frozenset(self._expired)
            found = self.claims.claim(
                flight.key, flight.token, self._feed.address, time.time(), expired=expired
            )
            match found:
                case NotStorable():
                    self._abandon(flight, End.PASSED)
                    return found
                case Taken(claim):
                    with self._lock:
                        self._led.pop(flight.token, None)
                    self._identify(flight, claim)
                    return self._mirror(flight, claim)
                case Won(claim):
                    self._identify(flight, claim)
                    return Lead(self._permit(flight, found))

    def _mirror(self, flight: Flight, claim: Claim) -> Follow:
        flight.head_was_known = claim.entry is not None
        Mirror(flight, claim.owner, self._lease, self._mirrored).start()
        return Follow(flight)

    def _permit(self, flight: Flight, won: Won) -> Permit:
        try:
            flight.open_file(won.file.open_reader())
        except StoreError:
            self.claims.finish(won.claim)
            won.file.discard()
            raise
        if won.file.size:
            # Readers of the dead leader go on with what is there; new ones wait for the head.
            flight.publish(Progress(0, won.file.size - _UNCHECKED))
        return Permit(self, flight, won)

    def _identify(self, flight: Flight, claim: Claim) -> None:
        with self._lock:
            flight.token = claim.token
            flight.partial = claim.partial
            flight.claimed = True

    def _abandon(self, flight: Flight, end: End) -> None:
        self.drop(flight)
        flight.publish(Progress(end=end))
        flight.leave()

    def _find_led(self, token: str) -> Flight | None:
        with self._lock:
            return self._led.get(token)

    def _mirrored(self, flight: Flight, expired: bool) -> None:
        with self._lock:
            if expired:
                self._expired.add(flight.token)
        self.drop(flight)

    def drop(self, flight: Flight) -> None:
        """Nobody finds the flight from here on."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
            self._led.pop(flight.token, None)

    def close(self) -> None:
        self._feed.close()
