"""What takes events to where they are to go: the protocol of files, webhooks and brokers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

IsOver = Callable[[], bool]
"""Whether there is no time left to go on."""


class Undelivered(Exception):
    """Events were not delivered behind the first `delivered` ones; the text says why, without secrets."""

    def __init__(self, why: str, delivered: int = 0) -> None:
        super().__init__(why)
        self.delivered = delivered


class Unreached(Undelivered):
    """Nobody was there to send the events to, so that none of them has been sent."""


class Carrier(Protocol):
    """Takes events, which are JSON in one line each, to one place; used by one thread."""

    def deliver(self, events: Sequence[bytes], is_over: IsOver, /) -> None:
        """Deliver the events in this order; returns once the other side has all of them for certain.

        May be called again with those that were not. Raises Undelivered, and soon once `is_over`.
        """

    def rest(self, seconds: float) -> None:
        """Let so much time pass, and meanwhile do what keeps a connection."""

    def close(self) -> None:
        """Close what is open."""
