"""A member of a pool, and one request that is sent to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from pyproxycache.upstream.pools.health import Health
from pyproxycache.url import Url

_numbers = count()


@dataclass(slots=True)
class Member:
    """A member; the pool guards its `health`. `answering` has the numbers of requests that it answers."""

    url: Url
    weight: int = 1
    health: Health = field(default_factory=Health)
    answering: set[int] = field(default_factory=set)


class Handed:
    """One request that is sent to a member, and counts as being answered until it is ended.

    `is_trial`: the member is out, and this shows whether it is well again. `was_sent`: the member may have
    acted on it.
    """

    __slots__ = ("_number", "is_trial", "member", "was_sent")

    def __init__(self, member: Member, *, is_trial: bool) -> None:
        self.member = member
        self.is_trial = is_trial
        self.was_sent = False
        self._number = next(_numbers)
        member.answering.add(self._number)

    def note_sent(self) -> None:
        """Note that the request is about to be sent."""
        self.was_sent = True

    def end(self) -> None:
        """The answer is over; any thread may call this, any number of times."""
        self.member.answering.discard(self._number)

    def __del__(self) -> None:
        self.end()


NoteSent = Callable[[], None]
"""Called before the first byte of a request is sent."""
