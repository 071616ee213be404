"""Who is told what a pool meets: the protocol, and one for whom nobody has to be told."""

from __future__ import annotations

from typing import Protocol

from pyproxycache.upstream.pools.health import HealthState
from pyproxycache.url import Url


class PoolWatch(Protocol):
    """Is told by any thread, which may hold the pool's lock: it must wait for nothing."""

    def became(self, member: Url, state: HealthState) -> None:
        """The member is in this state from now on."""

    def answered(self, member: Url, *, has_failed: bool) -> None:
        """The member was asked, and has failed or not."""

    def was_checked(self, member: Url, *, is_well: bool) -> None:
        """The member's health was looked at."""

    def sent_again(self) -> None:
        """A request was sent to another member, as one had failed."""

    def none_left(self) -> None:
        """A request found no member that may be asked."""


class Unwatched:
    """A PoolWatch of which nobody learns anything."""

    def became(self, _member: Url, _state: HealthState) -> None:
        """Tell nobody."""

    def answered(self, _member: Url, *, has_failed: bool) -> None:
        """Tell nobody."""

    def was_checked(self, _member: Url, *, is_well: bool) -> None:
        """Tell nobody."""

    def sent_again(self) -> None:
        """Tell nobody."""

    def none_left(self) -> None:
        """Tell nobody."""
