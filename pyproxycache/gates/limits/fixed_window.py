"""Fixed windows: the first request opens one, and what is counted in it is forgotten at its end."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from pyproxycache.gates.limits.limit_rule import Ruling, State


@dataclass(frozen=True, slots=True)
class FixedWindow:
    """Allows `count` requests from the first one on until `per` microseconds later; then anew.

    Around the end of a window up to twice as many can pass in a time of this length. A state has the end of
    its window, and how many requests have passed in that.
    """

    count: int
    per: int
    format: ClassVar[Struct] = Struct("<QQ")
    none: ClassVar[State] = (0, 0)

    def take(self, state: State, now: int) -> Ruling:
        """What it says of one more request at this time."""
        end, used = state
        if now >= end:
            end, used = now + self.per, 0
        ends_in = min(end - now, self.per)
        if used >= self.count:
            return Ruling(state, 0, ends_in, ends_in)
        return Ruling((end, used + 1), self.count - used - 1, ends_in, 0)
