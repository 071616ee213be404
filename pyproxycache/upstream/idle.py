"""Idle connections, kept for the next request of their next hop."""

from __future__ import annotations

import threading

from pyproxycache import clock
from pyproxycache.upstream.connection import IDLE_SECONDS, OriginConnection
from pyproxycache.upstream.next_hops import NextHop

_MOST = 256


class IdleConnections:
    """Idle connections by next hop, the newest used first; all fields are guarded by `_lock`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[NextHop, list[OriginConnection]] = {}
        self._count = 0

    def take(self, hop: NextHop) -> OriginConnection | None:
        """Take a usable connection, which the caller owns then; None if there is none."""
        while True:
            with self._lock:
                if hop not in self._kept:
                    return None
                connection = self._removed(hop, -1)
            if connection.is_usable():
                return connection
            connection.close()

    def put(self, connection: OriginConnection) -> None:
        """Keep an idle connection; the oldest one of all is closed if there are too many."""
        with self._lock:
            self._kept.setdefault(connection.hop, []).append(connection)
            self._count += 1
            oldest = self._removed(self._oldest_hop(), 0) if self._count > _MOST else None
        if oldest is not None:
            oldest.close()

    def close_unwanted(self) -> None:
        """Close the connections that were idle for IDLE_SECONDS."""
        latest, closing = clock.steady() - IDLE_SECONDS, []
        with self._lock:
            for hop in list(self._kept):
                while hop in self._kept and self._kept[hop][0].idle_since < latest:
                    closing.append(self._removed(hop, 0))
        for connection in closing:
            connection.close()

    def close_oldest(self) -> bool:
        """Close the connection that was idle for longest; returns whether there was one."""
        with self._lock:
            oldest = self._removed(self._oldest_hop(), 0) if self._count else None
        if oldest is not None:
            oldest.close()
        return oldest is not None

    def _oldest_hop(self) -> NextHop:
        return min(self._kept, key=lambda hop: self._kept[hop][0].idle_since)

    def _removed(self, hop: NextHop, place: int) -> OriginConnection:
        kept = self._kept[hop]
        connection = kept.pop(place)
        self._count -= 1
        if not kept:
            del self._kept[hop]
        return connection
