"""The port by which threads and processes agree who downloads what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.ports.download_writer import DownloadWriter
from pyproxycache.store.ports.flight_port import Flight
from pyproxycache.store.values import RecordedFlight, Stamp


@dataclass(frozen=True, slots=True)
class LeadFlight:
    """This caller leads: it downloads, and has to end the flight."""

    writer: DownloadWriter


@dataclass(frozen=True, slots=True)
class JoinFlight:
    """Another one leads: this caller follows."""

    flight: Flight


@dataclass(frozen=True, slots=True)
class NotStorable:
    """Nobody queues on this key for now: each sends its own request."""


class Flights(Protocol):
    """Who downloads what, among all threads and processes that share the store.

    Of one key there is one leader at a time. A leader whose process dies is succeeded at once, and one that
    lives but gives no sign of life, or whose download does not get on, after the store's terms. Each method
    raises StoreError.
    """

    def join(self, key: FlightKey) -> LeadFlight | JoinFlight | NotStorable:
        """Lead the download of a key, or follow the one that runs.

        A successor leads with the head and the bytes that the dead leader left.
        """

    def lead_after_all(self, key: FlightKey) -> LeadFlight | None:
        """Lead the download of a key although it counted as not storable; None where another one leads."""

    def follow(self, key: FlightKey) -> JoinFlight | None:
        """Follow the download of a key that runs; None, and nothing is changed, where none does."""

    def runs_here(self, key: FlightKey) -> bool:
        """Whether this process leads the key, or follows another one that does. Raises nothing."""

    def running(self) -> list[tuple[str, float]]:
        """The cache keys of the bodies that are arriving in any process, and since when (epoch seconds)."""

    def recorded(self, key: str) -> list[RecordedFlight]:
        """All flights of a cache key whose heads are recorded, whatever they vary on, of the dead too."""

    def stamp(self, key: str) -> Stamp | None:
        """A version that changes whenever the head of a flight of the cache key is recorded.

        When such a flight ends, that of `EntryIndex.stamp` changes. None while a change is under way.
        """
