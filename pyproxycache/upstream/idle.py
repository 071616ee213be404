"""Kept connections, for the next request of their route."""

from __future__ import annotations

import threading

from pyproxycache import clock
from pyproxycache.upstream.connection import IDLE_SECONDS, OriginConnection, Route

_MOST = 256


class IdleConnections:
    """Kept connections by route, newest first out; all of it is guarded by `_lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Route, list[OriginConnection]] = {}
        self._count = 0

    def take(self, route: Route) -> OriginConnection | None:
        """A connection that is still good; the caller's from here on."""
        while True:
            with self._lock:
                if route not in self._kept:
                    return None
                connection = self._removed(route, -1)
            if connection.is_quiet():
                return connection
            connection.close()

    def put(self, connection: OriginConnection) -> None:
        """Keep a connection that is at rest."""
        with self._lock:
            self._kept.setdefault(connection.route, []).append(connection)
            self._count += 1
            oldest = self._removed(self._oldest_route(), 0) if self._count > _MOST else None
        if oldest is not None:
            oldest.close()

    def close_unwanted(self) -> None:
        """Close those that nobody wanted for IDLE_SECONDS."""
        latest, closing = clock.steady() - IDLE_SECONDS, []
        with self._lock:
            for route in list(self._kept):
                while route in self._kept and self._kept[route][0].idle_since < latest:
                    closing.append(self._removed(route, 0))
        for connection in closing:
            connection.close()

    def close_oldest(self) -> bool:
        """Close the one that nobody has wanted for longest; whether there is any."""
        with self._lock:
            oldest = self._removed(self._oldest_route(), 0) if self._count else None
        if oldest is not None:
            oldest.close()
        return oldest is not None

    def _oldest_route(self) -> Route:
        return min(self._kept, key=lambda route: self._kept[route][0].idle_since)

    def _removed(self, route: Route, place: int) -> OriginConnection:
        kept = self._kept[route]
        connection = kept.pop(place)
        self._count -= 1
        if not kept:
            del self._kept[route]
        return connection
