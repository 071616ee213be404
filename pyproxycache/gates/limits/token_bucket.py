"""Token buckets: each request takes a token, and tokens come back one by one."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

from pyproxycache.gates.limits.limit_rule import Ruling, State


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """Allows `burst` requests at once, and `count` in each `per` microseconds after that, evenly spread.

    A state has the time when the bucket is full again, another time, and what was missing in it then: a
    token is `per` units, of which `count` come back each microsecond, so that nothing is ever rounded.
    """

    count: int
    per: int
    burst: int
    format: ClassVar[Struct] = Struct("<QQQ")
    none: ClassVar[State] = (0, 0, 0)

    def take(self, state: State, now: int) -> Ruling:
        """What it says of one more request at this time."""
        _full, since, missing = state
        count, token = self.count, self.per
        now = max(now, since)
        missing = max(0, missing - (now - since) * count) + token
        room = self.burst * token - missing
        if room < 0:
            wait = -(room // count)
            return Ruling(state, 0, wait, wait)
        next_one = -((room % token - token) // count)
        return Ruling((now - (-missing // count), now, missing), room // token, next_one, 0)
