"""Kept connections, for the next request of their route."""

from __future__ import annotations

import threading

from pyproxycache import clock
from pyproxycache.upstream.connection import IDLE_SECONDS, Connection, Route

_MOST = 256
_TIDY_SECONDS = 1.0


class IdleConnections:
    """Kept connections by route, newest first out; all of it is guarded by `_lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Route, list[Connection]] = {}
        self._count = 0
        self._tidied = 0.0

    def take(self, route: Route) -> Connection | None:
        """A connection that is still good; the caller's from here on."""
        while True:
            with self._lock:
                if route not in self._kept:
                    return None
                connection = self._removed(route, -1)
            if connection.is_quiet():
                return connection
            connection.close()

    def put(self, connection: Connection) -> None:
        """Keep a connection whose answer was read to its end."""
        connection.used = True
        connection.idle_since = clock.steady()
        with self._lock:
            self._kept.setdefault(connection.route, []).append(connection)
            self._count += 1
            closing = self._superfluous(connection.idle_since)
        for old in closing:
            old.close()

    def _superfluous(self, now: float) -> list[Connection]:
        """Connections of any route that nobody will want, and the oldest of too many (under the lock)."""
        if self._count <= _MOST and now - self._tidied < _TIDY_SECONDS:
            return []
        self._tidied = now
        found = []
        for route in list(self._kept):
            while route in self._kept and now - self._kept[route][0].idle_since > IDLE_SECONDS:
                found.append(self._removed(route, 0))
        while self._count > _MOST:
            found.append(self._removed(min(self._kept, key=lambda r: self._kept[r][0].idle_since), 0))
        return found

    def _removed(self, route: Route, place: int) -> Connection:
        kept = self._kept[route]
        connection = kept.pop(place)
        self._count -= 1
        if not kept:
            del self._kept[route]
        return connection
