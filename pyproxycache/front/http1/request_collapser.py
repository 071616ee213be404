"""Lets requests wait, without a thread, for the answer to an equal request on another connection."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.memory.memory import is_plain

_AVOIDED_SECONDS = 120.0
_MOST_AVOIDED = 10_000

_Key = tuple[bytes, bytes]
"""A head, and the mark of the ingress by which it came in."""


@dataclass(slots=True)
class Wait:
    """A request that is being answered, the `leader`, and the equal ones that wait for its answer.

    `is_second`: they have waited for another leader before, whose answer memory could not give them.
    `is_held_up`: the leader waits for its turn at an origin, behind others of its client.
    """

    leader: Transaction
    waiting: dict[Transaction, None] = field(default_factory=dict)
    is_second: bool = False
    is_held_up: bool = False


class RequestCollapser:
    """Parks requests of one ingress with equal heads, while the first is answered; belongs to the poller.

    Heads whose answers turned out to be for one client alone are remembered for a while, and not parked. So
    are those on redirected connections: whether their answers are for others is not known before a look-up.
    """

    def __init__(self) -> None:
        self._waits: dict[_Key, Wait] = {}
        self._avoided: OrderedDict[int, float] = OrderedDict()  # by the heads' hashes

    def park(self, transaction: Transaction, now: float) -> bool:
        """Park the request if an equal one is being answered; else it leads, and equal ones wait for it.

        Returns whether it is parked. `now` is in monotonic seconds.
        """
        head = transaction.head
        if head is None or transaction.connection.ingress.destination is not None:
            return False
        key = _key(head, transaction)
        wait = self._waits.get(key)
        if wait is not None:
            if wait.is_held_up and not _is_of_one_client(transaction, wait.leader):
                wait.leader, wait.is_held_up = transaction, False
                return False
            wait.waiting[transaction] = None
            return True
        if self._avoided.get(hash(key), now) <= now and is_plain(head):
            self._waits[key] = Wait(transaction)
        return False

    def hold_up(self, leader: Transaction) -> Transaction | None:
        """Have the first request of another client lead in place of this one, which waits for its turn.

        Clients take turns at origins, and nobody is to wait for another client's. Returns that request, as
        it is to be answered; None while there is none.
        """
        wait = self._led_by(leader)
        if wait is None:
            return None
        other = next((one for one in wait.waiting if not _is_of_one_client(one, leader)), None)
        if other is None:
            wait.is_held_up = True
            return None
        del wait.waiting[other]
        wait.leader = other
        return other

    def leave(self, transaction: Transaction) -> None:
        """Take a parked request out, as it no longer waits."""
        wait = self._wait_of(transaction)
        if wait is not None:
            wait.waiting.pop(transaction, None)

    def wait_again(self, waiting: Iterable[Transaction]) -> Transaction:
        """Make the first of these the leader of the others, and return it, as it is to be answered."""
        leader, *others = waiting
        assert leader.head is not None, "it was parked by its head"
        key = _key(leader.head, leader)
        self._waits[key] = Wait(leader, dict.fromkeys(others), is_second=True)
        return leader

    def release(self, transaction: Transaction) -> Wait:
        """End the wait for this request's answer; returns it, with those that have waited."""
        wait = self._led_by(transaction)
        if wait is None or transaction.head is None:
            return Wait(transaction)
        del self._waits[_key(transaction.head, transaction)]
        return wait

    def is_waited_for(self, transaction: Transaction) -> bool:
        """Whether others wait for the answer to this request."""
        wait = self._led_by(transaction)
        return wait is not None and bool(wait.waiting)

    def _led_by(self, transaction: Transaction) -> Wait | None:
        wait = self._wait_of(transaction)
        return wait if wait is not None and wait.leader is transaction else None

    def _wait_of(self, transaction: Transaction) -> Wait | None:
        head = transaction.head
        return None if head is None else self._waits.get(_key(head, transaction))

    def avoid(self, transaction: Transaction, now: float) -> None:
        """Park no request like this one for two minutes from `now` on (monotonic seconds)."""
        if transaction.head is None:
            return
        avoided = hash(_key(transaction.head, transaction))
        self._avoided[avoided] = now + _AVOIDED_SECONDS
        self._avoided.move_to_end(avoided)
        if len(self._avoided) > _MOST_AVOIDED:
            self._avoided.popitem(last=False)

    def sweep(self, now: float) -> None:
        """Forget the avoided heads whose time is over; `now` is in monotonic seconds."""
        while self._avoided and next(iter(self._avoided.values())) <= now:
            self._avoided.popitem(last=False)


def _key(head: bytes, transaction: Transaction) -> _Key:
    return head, transaction.connection.ingress.mark


def _is_of_one_client(one: Transaction, other: Transaction) -> bool:
    return one.connection.limited_client == other.connection.limited_client
