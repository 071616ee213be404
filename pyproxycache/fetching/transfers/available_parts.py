"""Which parts of a representation are stored or being downloaded, while one part of it is wanted."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from operator import itemgetter

from pyproxycache import clock
from pyproxycache.body import Body
from pyproxycache.errors import StoreError
from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.rules.extents import are_of_one, as_part, comes_soon, extent_of, first_ahead
from pyproxycache.serving.arriving import Admit, anyone, read_span
from pyproxycache.store.ports import Bodies, EntryIndex, Flights
from pyproxycache.store.values import BodyGone, RecordedFlight
from pyproxycache.url import without_query

log = logging.getLogger("pyproxycache.fetching")


class AvailableParts:
    """Finds the stored parts of a representation and its running downloads, of this process and of others.

    Entries that it is asked about are parts as from as_part(), and name the representation meant. An index
    that cannot be read knows of nothing: what runs goes on alone.
    """

    def __init__(self, index: EntryIndex, bodies: Bodies, flights: Flights, ahead: int) -> None:
        """`ahead`: bytes; a download that has further to go to an offset is not waited for."""
        self._index = index
        self._bodies = bodies
        self._flights = flights
        self._ahead = ahead

    def running(self, key: str) -> list[tuple[RecordedFlight, Entry]]:
        """The downloads under a cache key that can be shared, each with the part that it brings in."""
        return [(flight, part) for flight, part in self._recorded(key) if flight.is_led]

    def _recorded(self, key: str) -> list[tuple[RecordedFlight, Entry]]:
        flights: list[RecordedFlight] = []
        with _nothing_where_broken(key):
            flights = self._flights.recorded(key)
        found = [(flight, as_part(flight.entry)) for flight in flights]
        return [(flight, part) for flight, part in found if part is not None]

    def left_at(self, like: Entry, offset: int) -> tuple[FlightKey, Entry] | None:
        """The flight key and the part that a dead leader left, if its bytes reach the offset; else None."""
        for flight, part in self._recorded(like.key):
            if flight.entry.part is None or not are_of_one(like, part) or flight.is_led:
                continue
            if extent_of(part).has(offset) and flight.arrived >= offset - part.first_byte:
                return flight.key, part
        return None

    def soon_at(
        self, offset: int, running: Iterable[tuple[RecordedFlight, Entry]], *, but: FlightKey | None = None
    ) -> FlightKey | None:
        """The flight key of the furthest download that will soon be at the offset; None if there is none.

        `but` is the flight key of a download that does not count.
        """
        near = [
            (flight.arrived + part.first_byte, flight.key)
            for flight, part in running
            if flight.key != but
            and extent_of(part).has(offset)
            and self.comes_soon(offset, part, flight.arrived)
        ]
        return max(near, key=itemgetter(0))[1] if near else None

    def comes_soon(self, offset: int, entry: Entry, arrived: int) -> bool:
        """Whether the entry's download will be at the offset sooner than a new one."""
        return comes_soon(offset, entry, arrived, clock.wall(), self._ahead)

    def first_ahead(
        self, like: Entry, offset: int, *, but: FlightKey | None = None, since: float = 0.0
    ) -> int | None:
        """The first offset, from this one on, that others have, if it is worth stopping there; else None.

        Stored parts count if they were received `since` (epoch seconds), downloads except that of `but`.
        """
        others = [
            extent_of(part, flight.arrived)
            for flight, part in self.running(like.key)
            if flight.key != but and are_of_one(like, part)
        ]
        stored = [extent_of(part, part.size) for part in self._stored(like, since)]
        return first_ahead(offset, [*others, *stored])

    def _stored(self, like: Entry, since: float) -> list[Entry]:
        values = dict(like.vary)
        found: list[Entry] = []
        with _nothing_where_broken(like.key):
            found = self._index.lookup(
                like.key, lambda names: tuple((name, values.get(name)) for name in names)
            )
        parts = [as_part(entry) for entry in found if entry.response_time >= since]
        return [part for part in parts if part is not None and are_of_one(like, part)]

    def stamps(self, key: str) -> tuple[object, object]:
        """A value that changes whenever an entry is stored, or a download begins or ends, under the key."""
        return self._index.stamp(key), self._flights.stamp(key)

    def stored(self, like: Entry, offset: int, *, since: float = 0.0) -> list[Entry]:
        """The stored parts that have the offset and came `since`, the longest from there first."""
        having = [part for part in self._stored(like, since) if extent_of(part).has(offset)]
        return sorted(having, key=lambda part: extent_of(part).stop, reverse=True)

    def opened(
        self, parts: Iterable[Entry], offset: int, stop: int, *, admit: Admit = anyone
    ) -> Body | None:
        """The bytes from the offset on, up to `stop` at most, out of the first part that can be read."""
        for part in parts:
            admit(part)
            with contextlib.suppress(BodyGone), _nothing_where_broken(part.key):
                start, end = part.first_byte, min(stop, extent_of(part).stop)
                return self._bodies.open(part.digest, part.size, offset - start, end - start)
        return None

    def arriving(
        self, like: Entry, offset: int, stop: int, *, but: FlightKey | None = None, admit: Admit = anyone
    ) -> Body | None:
        """The bytes from the offset on, out of a download that has them or will soon.

        They may end before `stop`, and raise Orphaned.
        """
        key = self._arriving(like, offset, but)
        followed = None
        with _nothing_where_broken(like.key):
            followed = self._flights.follow(key) if key is not None else None
        return None if followed is None else read_span(followed.flight, like, offset, stop, admit)

    def is_arriving(self, like: Entry, offset: int) -> bool:
        """Whether a download has the byte at the offset, or will soon."""
        return self._arriving(like, offset, None) is not None

    def _arriving(self, like: Entry, offset: int, but: FlightKey | None) -> FlightKey | None:
        running = [(flight, part) for flight, part in self.running(like.key) if are_of_one(like, part)]
        return self.soon_at(offset, running, but=but)


@contextlib.contextmanager
def _nothing_where_broken(key: str) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        log.warning("others with parts of %s are looked for in vain: %s", without_query(key), error)
