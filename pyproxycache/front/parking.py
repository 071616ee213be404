"""Connections that wait for what another one's thread is about to be answered."""

from __future__ import annotations

from collections import OrderedDict

from pyproxycache.front.connection import Connection, State
from pyproxycache.front.memory import is_plain

_AVOIDED_SECONDS = 120.0
_MOST_AVOIDED = 10_000


class Parking:
    """Who waits for whom, by the bytes of the head that they have in common; belongs to the poller.

    Heads whose answers turned out to be for one alone are remembered for a while: nobody waits there.
    """

    def __init__(self) -> None:
        self._led: dict[bytes, tuple[Connection, list[Connection]]] = {}
        self._avoided: OrderedDict[bytes, float] = OrderedDict()

    def park(self, connection: Connection, head: bytes, now: float) -> bool:
        """Whether the connection waits for another one; if not, others may wait for it."""
        led = self._led.get(head)
        if led is not None:
            led[1].append(connection)
            return True
        if self._avoided.get(head, now) <= now and is_plain(head):
            self._led[head] = (connection, [])
        return False

    def lead(self, connection: Connection, head: bytes, waiting: list[Connection]) -> None:
        """Have those wait for this one."""
        self._led[head] = (connection, waiting)

    def release(self, connection: Connection, head: bytes) -> list[Connection]:
        """Those who waited for this connection, and wait no more."""
        leader, waiting = self._led.get(head, (None, []))
        if leader is not connection:
            return []
        del self._led[head]
        return [other for other in waiting if other.state is State.PARKED]

    def avoid(self, head: bytes, now: float) -> None:
        """Nobody waits for an answer to this for a while (seconds, monotonic)."""
        self._avoided[head] = now + _AVOIDED_SECONDS
        if len(self._avoided) > _MOST_AVOIDED:
            self._avoided.popitem(last=False)

    def sweep(self, now: float) -> None:
        """Forget what was long ago."""
        while self._avoided and next(iter(self._avoided.values())) <= now:
            self._avoided.popitem(last=False)
