"""Single download: who leads a key and who follows, across threads and worker processes."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pyproxycache.errors import ProxyError, StoreError
from pyproxycache.messages import Entry, without_query
from pyproxycache.store.blobs import Partial
from pyproxycache.store.claims import Claim, Claims, NotStorable, Taken, Won
from pyproxycache.store.feed import Feed, Mirror
from pyproxycache.store.flight import End, Flight, Progress

log = logging.getLogger("pyproxycache.store")


class Permit:
    """The right to download a key: publishes the progress, commits the result, ends the flight once.

    Belongs to one thread at a time. `entry` and `size` tell what a dead leader left to resume.
    """

    def __init__(self, flights: Flights, flight: Flight, won: Won) -> None:
        self._flights = flights
        self._claim = won.claim
        self.flight = flight
        self.file: Partial = won.file
        self.entry: Entry | None = won.claim.entry
        self._length: int | None = None
        self._generation = 0
        self.ended = False

    @property
    def key(self) -> str:
        return self._claim.key

    @property
    def size(self) -> int:
        return self.file.size

    def publish_size(self) -> None:
        """Tell the followers how much there is now."""
        self.flight.publish(self._progress())

    def begin(self, entry: Entry, length: int | None) -> None:
        """The head is known: record it for a successor and tell the followers."""
        self.entry, self._length = entry, length
        with _logged("note the head of", self.key):
            self._flights.claims.record(self._claim, entry)
        self.flight.publish(self._progress())

    def begin_anew(self, entry: Entry, length: int | None) -> bool:
        """Start the body again from its first byte; False if that would mix two bodies for a client."""
        self._generation += 1
        untouched = self.flight.restart(Progress(self._generation))
        if untouched:
            self.file.restart()
            self.begin(entry, length)
        return untouched

    def feed_without_file(self, data: bytes, total: int) -> bool:
        """Pass bytes on to the followers in this process only; False when none is left."""
        return self.flight.append_tail(
            data, Progress(self._generation, total, self.entry, self._length, in_file=False)
        )

    def unlist(self, not_storable_until: float) -> None:
        """Nobody joins from here on; those who have joined go on."""
        self._flights.drop(self.flight)
        with _logged("end the claim on", self.key):
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
        with _logged("end the claim on", self.key):
            self._flights.claims.finish(self._claim, not_storable_until=not_storable_until)
        self._end(self._progress(end, error, total))
        self.file.discard()

    def leave_for_successor(self, end: End, error: ProxyError | None = None) -> None:
        """End the flight but keep its row and file: the next leader resumes it."""
        self._end(self._progress(end, error))
        self.file.release()

    def _progress(
        self, end: End | None = None, error: ProxyError | None = None, total: int | None = None
    ) -> Progress:
        size = self.size if total is None else total
        return Progress(self._generation, size, self.entry, self._length, end, error)

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

    `_flights` and `_tokens` are guarded by `_lock`; claims are made outside of it. Made after fork.
    """

    def __init__(self, claims: Claims, lease: float) -> None:
        self.claims = claims
        self._lease = lease
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}
        self._tokens: dict[str, Flight] = {}
        self._feed = Feed(self._led)

    def join(self, key: str) -> Lead | Follow | NotStorable:
        """Lead the download of a key, or follow the one that runs."""
        while True:
            with self._lock:
                flight = self._flights.get(key)
                mine = flight is None
                if flight is None:
                    flight = self._flights[key] = Flight(key)
            if mine:
                return self._claim(flight)
            if flight.token == "" or self.claims.current(key) == flight.token:
                return Follow(flight)
            # Purged, or just ended: whoever asks from now on needs a new one.
            self.drop(flight)

    def _claim(self, flight: Flight) -> Lead | Follow | NotStorable:
        try:
            found = self.claims.claim(flight.key, self._feed.address, time.time())
        except BaseException:
            self._abandon(flight, End.LOST)
            raise
        match found:
            case NotStorable():
                self._abandon(flight, End.PASSED)
                return found
            case Taken(claim):
                self._identify(flight, claim)
                Mirror(flight, claim.owner, self._lease, self.drop)
                return Follow(flight)
            case Won(claim):
                self._identify(flight, claim)
                return Lead(self._permit(flight, found))

    def _permit(self, flight: Flight, won: Won) -> Permit:
        try:
            flight.open_file(won.file.open_reader())
        except OSError as error:
            self._abandon(flight, End.LOST)
            self.claims.finish(won.claim)
            won.file.discard()
            raise StoreError(f"cannot read back {won.file.path}: {error.strerror}") from error
        permit = Permit(self, flight, won)
        if won.file.size:
            # Readers of the dead leader go on with what is there; new ones wait for the head.
            flight.publish(Progress(0, won.file.size))
        return permit

    def _identify(self, flight: Flight, claim: Claim) -> None:
        with self._lock:
            flight.token = claim.token
            flight.partial = claim.partial
            self._tokens[claim.token] = flight

    def _abandon(self, flight: Flight, end: End) -> None:
        self.drop(flight)
        flight.publish(Progress(end=end))
        flight.leave()

    def _led(self, token: str) -> Flight | None:
        with self._lock:
            return self._tokens.get(token)

    def drop(self, flight: Flight) -> None:
        """Nobody finds the flight from here on."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
            self._tokens.pop(flight.token, None)

    def close(self) -> None:
        self._feed.close()


@contextlib.contextmanager
def _logged(what: str, key: str) -> Iterator[None]:
    """An index that cannot be written to (a full disk) costs no request: say so and go on."""
    try:
        yield
    except StoreError as error:
        log.warning("cannot %s %s: %s", what, without_query(key), error)
