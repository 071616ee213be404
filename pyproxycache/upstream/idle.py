"""Idle connections, kept for the next request of their route."""

from __future__ import annotations

import threading

from pyproxycache import clock
from pyproxycache.upstream.connection import IDLE_SECONDS, OriginConnection, Route

_MOST = 256


class IdleConnections:
    """Idle connections by route, of which the newest is used first; all fields are guarded by `_lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Route, list[OriginConnection]] = {}
        self._count = 0

    def take(self, route: Route) -> OriginConnection | None:
        """Take a usable connection, which the caller owns then; None if there is none."""
        while True:
            with self._lock:
                if route not in self._kept:
                    return None
                connection = self._removed(route, -1)
            if connection.is_usable():
                return connection
            connection.close()

    def put(self, connection: OriginConnection) -> None:
        """Keep an idle connection; the oldest one of all is closed if there are too many."""
        with self._lock:
            self._kept.setdefault(connection.route, []).append(connection)
            self._count += 1
            oldest = self._removed(self._oldest_route(), 0) if self._count > _MOST else None
        if oldest is not None:
            oldest.close()

    def close_unwanted(self) -> None:
        """Close the connections that were idle for IDLE_SECONDS."""
        latest, closing = clock.steady() - IDLE_SECONDS, []
        with self._lock:
            for route in list(self._kept):
                while route in self._kept and self._kept[route][0].idle_since < latest:
                    closing.append(self._removed(route, 0))
        for connection in closing:
            connection.close()

    def close_oldest(self) -> bool:
        """Close the connection that was idle for longest; returns whether there was one."""
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
