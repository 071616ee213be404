"""Where a download stops, because the bytes that follow are stored or being downloaded by others."""

from __future__ import annotations

from pyproxycache.body import Body
from pyproxycache.fetching.transfers.available_parts import AvailableParts
from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.rules.extents import extent_of


class MeetingPoint:
    """Finds the offset at which one download stops, and the bytes that others have from there on.

    It looks again only when what is stored or being downloaded has changed.
    """

    def __init__(self, available: AvailableParts, own: FlightKey, like: Entry) -> None:
        """`own` is the download's flight key."""
        self._available = available
        self._own = own
        self._like = like
        self._stamps: tuple[object, object] | None = None
        self._found: int | None = None

    @property
    def total(self) -> int:
        """Bytes of the whole representation."""
        return extent_of(self._like).stop

    def before(self, offset: int) -> int | None:
        """The offset at which a download that has come to this one is to stop; None: at its end."""
        stamps = self._available.stamps(self._like.key)
        if stamps != self._stamps or (self._found is not None and self._found <= offset):
            since = self._like.request_time  # what was there before may be what is to be replaced
            self._found = self._available.first_ahead(self._like, offset, but=self._own, since=since)
            self._stamps = stamps
        return self._found

    def pieces(self, offset: int) -> Body | None:
        """The bytes that others have from the offset on, or will have soon; None if nobody has."""
        like, stop = self._like, extent_of(self._like).stop
        parts = self._available.stored(like, offset, since=like.request_time)
        stored = self._available.opened(parts, offset, stop)
        return stored or self._available.arriving(like, offset, stop, but=self._own)
