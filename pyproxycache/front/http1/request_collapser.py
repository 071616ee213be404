"""Connections that wait for what another one's thread is about to be answered."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from pyproxycache.front.http1.connection import ClientConnection, State
from pyproxycache.front.memory.memory import is_plain

_AVOIDED_SECONDS = 120.0
_MOST_AVOIDED = 10_000


@dataclass(slots=True)
class Wait:
    """Who waits for whom; `is_second`: it was waited for another one before, in vain."""

    leader: ClientConnection
    waiting: list[ClientConnection]
    is_second: bool = False


class RequestCollapser:
    """Who waits for whom, by the bytes of the head that they have in common; belongs to the poller.

    Heads whose answers turned out to be for one alone are remembered for a while: nobody waits there.
    """

    def __init__(self) -> None:
        self._waits: dict[bytes, Wait] = {}
        self._avoided: OrderedDict[int, float] = OrderedDict()  # by the heads' hashes

    def park(self, connection: ClientConnection, head: bytes, now: float) -> bool:
        """Whether the connection waits for another one; if not, others may wait for it."""
        wait = self._waits.get(head)
        if wait is not None:
            wait.waiting.append(connection)
            return True
        if self._avoided.get(hash(head), now) <= now and is_plain(head):
            self._waits[head] = Wait(connection, [])
        return False

    def wait_again(self, head: bytes, waiting: list[ClientConnection]) -> ClientConnection:
        """The first of those, for whom the others wait from here on."""
        leader, *others = waiting
        self._waits[head] = Wait(leader, others, is_second=True)
        return leader

    def release(self, connection: ClientConnection, head: bytes) -> Wait:
        """Those who waited for this connection, and wait no more."""
        wait = self._waits.get(head)
        if wait is None or wait.leader is not connection:
            return Wait(connection, [])
        del self._waits[head]
        wait.waiting = [other for other in wait.waiting if other.state is State.PARKED]
        return wait

    def is_waited_for(self, connection: ClientConnection, head: bytes) -> bool:
        """Whether others wait for what this connection is answered."""
        wait = self._waits.get(head)
        return (
            wait is not None
            and wait.leader is connection
            and any(other.state is State.PARKED for other in wait.waiting)
        )

    def avoid(self, head: bytes, now: float) -> None:
        """Nobody waits for an answer to this for a while (seconds, monotonic)."""
        self._avoided[hash(head)] = now + _AVOIDED_SECONDS
        self._avoided.move_to_end(hash(head))
        if len(self._avoided) > _MOST_AVOIDED:
            self._avoided.popitem(last=False)

    def sweep(self, now: float) -> None:
        """Forget what was long ago."""
        while self._avoided and next(iter(self._avoided.values())) <= now:
            self._avoided.popitem(last=False)
