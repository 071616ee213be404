"""The port of one flight, as its followers see it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from pyproxycache.body import Body
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.values import Progress


class Flight(Protocol):
    """One download as its followers see it, led by a thread of this process or by another process.

    Only its leader changes it. Whoever waits is woken by each change. It is safe to hold after its end: it
    then tells its last progress, and readers that had begun read on.
    """

    @property
    def key(self) -> FlightKey:
        """What its followers' requests have in common."""

    @property
    def partial(self) -> str:
        """The name of the growing file, which a successor keeps; empty where there is none."""

    @property
    def body(self) -> bytes | None:
        """The whole body where it came with its head and is in memory."""

    @property
    def head_was_known(self) -> bool:
        """Whether another process leads and had the head before this one began to follow."""

    def progress(self) -> Progress:
        """What is known now."""

    def wait_head(self) -> Progress:
        """What is known as soon as the head is, or the flight has ended. Waits."""

    def wait_change(self, seen: Progress | None, seconds: float | None = None) -> Progress:
        """What is known as soon as it is another value than `seen`, or after so many seconds. Waits."""

    def is_there(self) -> bool:
        """Whether the head is known, or the flight has ended."""

    def when_there(self, wake: Callable[[], None]) -> bool:
        """Have `wake` called once, by any thread, when there is news; False where `is_there` holds."""

    def forget(self, wake: Callable[[], None]) -> None:
        """Do not call `wake` any more."""

    def wait(self) -> None:
        """Return when `is_there` holds. Waits."""

    def is_current(self) -> bool:
        """Whether it may be shared with who asks now; False once it was purged or its leader lost the key.

        Raises StoreError.
        """

    def read(self, answered: Progress, start: int, stop: int | None, *, given: bool = False) -> Body:
        """The body from `start` up to `stop` (None: its end) as it arrives.

        `answered` is the progress that the client's head was made of; `given` says that the client has
        bytes before `start` already. Waits for the flight's file. Raises Orphaned where the flight is over
        and has no file any more; the reader raises BrokenOff where the body begins anew too late for its
        client.
        """

    def is_awaited(self) -> bool:
        """Whether anybody waits for the head, here or in another process."""

    def close_if_left(self) -> bool:
        """Admit no more readers if all there were have left, in other processes too; gives whether so."""

    def tell_of_readers(self, on_change: Callable[[bool], None] | None) -> None:
        """Have this called with False when the last reader has left, and with True when there is one again.

        By the thread of who leaves or comes, without a lock held.
        """

    def followed(self) -> AbstractContextManager[None]:
        """Count as a follower for the length of the block."""
