"""One download for all: who leads a key and who follows, among threads and worker processes."""

from __future__ import annotations

import itertools
import os
import secrets
import threading

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.claims import Claims
from pyproxycache.store.flights.flight import LocalFlight
from pyproxycache.store.flights.flight_rows import Claim, Taken, Won
from pyproxycache.store.flights.flight_server import FlightServer
from pyproxycache.store.flights.remote_reader import RemoteFlightReader, Terms
from pyproxycache.store.flights.writer import UNCHECKED, LocalWriter
from pyproxycache.store.ports import JoinFlight, LeadFlight, NotStorable
from pyproxycache.store.store_errors import logging_store_errors
from pyproxycache.store.values import End, Progress, RecordedFlight, Stamp

_tokens = itertools.count(secrets.randbits(32))


def new_token() -> str:
    """A new name for a claim, of 16 characters, that no other claim has had."""
    return f"{os.getpid():08x}{next(_tokens) & 0xFFFFFFFF:08x}"


class LocalFlights:
    """The flights of the processes of one machine: those this process leads, and those it follows.

    `_flights` (all) and `_led` (by token) are guarded by `_lock`; claims are made without it. A
    leader in another process that does not keep to the `terms` loses the key. To be made after the fork.
    """

    def __init__(self, claims: Claims, terms: Terms) -> None:
        self.claims = claims
        self._terms = terms
        self._lock = threading.Lock()
        self._flights: dict[FlightKey, LocalFlight] = {}
        self._led: dict[str, LocalFlight] = {}
        self._server = FlightServer(claims.locks.address(os.getpid()), self._find_led, terms.silence)

    def join(self, key: FlightKey) -> LeadFlight | JoinFlight | NotStorable:
        """Lead the download of a key, or follow the one that runs."""
        while True:
            with self._lock:
                flight = self._flights.get(key)
                mine = flight is None
                if flight is None:
                    flight = self._flights[key] = LocalFlight(key, new_token(), self.claims.is_current)
                    # Before the claim, for other processes ask for the flight once they see it.
                    self._led[flight.token] = flight
            if mine:
                return self._claim(flight)
            if self._is_current(flight):
                return JoinFlight(flight)

    def lead_after_all(self, key: FlightKey) -> LeadFlight | None:
        """Lead the download of a key although it is not storable; None where another one leads."""
        self.claims.lift(key)
        joined = self.join(key)
        return joined if isinstance(joined, LeadFlight) else None

    def follow(self, key: FlightKey) -> JoinFlight | None:
        """Follow the download of the key that runs; None where none does, and nothing is changed then."""
        while True:
            with self._lock:
                flight = self._flights.get(key)
            if flight is not None:
                if self._is_current(flight):
                    return JoinFlight(flight)
                continue
            claim = self.claims.leader(key)
            if claim is None:
                return None
            # Others find it from here on, and only here: somebody leads it.
            flight = LocalFlight(key, claim.token, self.claims.is_current)
            flight.claim = claim
            with self._lock:
                mine = self._flights.setdefault(key, flight) is flight
            if mine:
                try:
                    return self._follow_elsewhere(flight, claim)
                except BaseException:
                    self._abandon(flight, End.LOST)
                    raise

    def runs_here(self, key: FlightKey) -> bool:
        """Whether this process leads the key, or follows another one that does."""
        with self._lock:
            return key in self._flights

    def running(self) -> list[tuple[str, float]]:
        """The cache keys of the bodies that are arriving in any process, and since when (epoch seconds)."""
        return self.claims.running()

    def recorded(self, key: str) -> list[RecordedFlight]:
        """All flights of a cache key whose heads are recorded, whatever they vary on, of the dead too."""
        return self.claims.recorded(key)

    def stamp(self, key: str) -> Stamp | None:
        """A version that changes whenever the head of a flight of the cache key is recorded."""
        return self.claims.stamp(key)

    def _is_current(self, flight: LocalFlight) -> bool:
        """Whether the flight may still be joined; one that was purged is dropped."""
        if flight.is_current():
            return True
        self.drop(flight)
        return False

    def _claim(self, flight: LocalFlight) -> LeadFlight | JoinFlight | NotStorable:
        try:
            found = self.claims.claim(flight.key, flight.token, clock.wall())
            match found:
                case Won(claim):
                    flight.claim = claim
                    return LeadFlight(self._writer(flight, found))
                case Taken(claim):
                    with self._lock:
                        self._led.pop(flight.token, None)
                        flight.token = claim.token
                    flight.claim = claim
                    return self._follow_elsewhere(flight, claim)
        except BaseException:
            self._abandon(flight, End.LOST)
            raise
        self._abandon(flight, End.PASSED)
        return found

    def _follow_elsewhere(self, flight: LocalFlight, claim: Claim) -> JoinFlight:
        flight.head_was_known = claim.entry is not None
        RemoteFlightReader(flight, claim.owner, self._terms, self._followed_to_its_end).start()
        return JoinFlight(flight)

    def _writer(self, flight: LocalFlight, won: Won) -> LocalWriter:
        if won.file is not None:
            try:
                flight.open_file(won.file.open_reader())
            except StoreError:
                won.file.release()
                self.claims.leave(won.claim)
                raise
            # Readers of the dead leader go on with what is there; new ones wait for the head.
            flight.publish(Progress(0, won.file.size - UNCHECKED))
        return LocalWriter(self.claims, flight, won, self.drop)

    def _abandon(self, flight: LocalFlight, end: End) -> None:
        self.drop(flight)
        flight.publish(Progress(end=end))
        flight.leave()

    def _find_led(self, token: str, key: FlightKey) -> LocalFlight | None:
        """The flight that another process asks for: by its token, or by its key while it has no row."""
        with self._lock:
            flight = self._led.get(token) if token else self._flights.get(key)
            if flight is None or flight.token not in self._led:
                return None
        return flight if token or self._is_current(flight) else None

    def _followed_to_its_end(self, flight: LocalFlight, silent: bool) -> None:
        if silent and flight.claim is not None:
            with logging_store_errors("take over", flight.key.cache_key):
                self.claims.end_silent(flight.claim)
        self.drop(flight)

    def drop(self, flight: LocalFlight) -> None:
        """Let nobody find the flight any more; those who follow it already go on."""
        with self._lock:
            if self._flights.get(flight.key) is flight:
                del self._flights[flight.key]
            self._led.pop(flight.token, None)

    def close(self) -> None:
        """Stop telling other processes of flights."""
        self._server.close()
