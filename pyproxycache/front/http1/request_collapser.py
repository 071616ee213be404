"""Requests that wait for what another connection is about to be answered."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.memory.memory import is_plain

_AVOIDED_SECONDS = 120.0
_MOST_AVOIDED = 10_000


@dataclass(slots=True)
class Wait:
    """Who waits for whom, in the order of their coming; `is_second`: one was waited for before, in vain."""

    leader: Transaction
    waiting: dict[Transaction, None] = field(default_factory=dict)
    is_second: bool = False


class RequestCollapser:
    """Who waits for whom, by the bytes of the head that they have in common; belongs to the poller.

    Heads whose answers turned out to be for one alone are remembered for a while: nobody waits there.
    """

    def __init__(self) -> None:
        self._waits: dict[bytes, Wait] = {}
        self._avoided: OrderedDict[int, float] = OrderedDict()  # by the heads' hashes

    def park(self, transaction: Transaction, now: float) -> bool:
        """Whether the request waits for another one; if not, others may wait for it."""
        head = transaction.head
        if head is None:
            return False
        wait = self._waits.get(head)
        if wait is not None:
            wait.waiting[transaction] = None
            return True
        if self._avoided.get(hash(head), now) <= now and is_plain(head):
            self._waits[head] = Wait(transaction)
        return False

    def leave(self, transaction: Transaction) -> None:
        """The request waits no more."""
        wait = None if transaction.head is None else self._waits.get(transaction.head)
        if wait is not None:
            wait.waiting.pop(transaction, None)

    def wait_again(self, head: bytes, waiting: Iterable[Transaction]) -> Transaction:
        """The first of those, for whom the others wait from here on."""
        leader, *others = waiting
        self._waits[head] = Wait(leader, dict.fromkeys(others), is_second=True)
        return leader

    def release(self, transaction: Transaction) -> Wait:
        """Those who waited for this request, and wait no more."""
        wait = self._led_by(transaction)
        if wait is None or transaction.head is None:
            return Wait(transaction)
        del self._waits[transaction.head]
        return wait

    def is_waited_for(self, transaction: Transaction) -> bool:
        """Whether others wait for what this request is answered."""
        wait = self._led_by(transaction)
        return wait is not None and bool(wait.waiting)

    def _led_by(self, transaction: Transaction) -> Wait | None:
        wait = None if transaction.head is None else self._waits.get(transaction.head)
        return wait if wait is not None and wait.leader is transaction else None

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
