"""Sliding windows: what passed in the time before now is counted, in slices of that time."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import ClassVar

from pyproxycache.gates.limits.limit_rule import Ruling, State

SLICES = 20
"""Into how many slices the time is cut; one more is kept, as the newest one has only begun."""

_NONE = (0,) * (SLICES + 1)


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """Allows `count` requests in any `per` microseconds, wherever these begin.

    A request counts until the slice in which it came is wholly out of the time: never for less than `per`,
    and for up to a twentieth longer. A state has the time when its newest slice counts no more, and how
    many requests passed in each slice, the newest first.
    """

    count: int
    per: int
    _slice: int = field(init=False, repr=False, compare=False)
    format: ClassVar[Struct] = Struct(f"<Q{SLICES + 1}I")
    none: ClassVar[State] = (0, *_NONE)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_slice", -(-self.per // SLICES))

    def take(self, state: State, now: int) -> Ruling:
        """What it says of one more request at this time."""
        size = self._slice
        newest = state[0] // size - SLICES - 1
        number = now // size
        passed = [*state[1:]]
        if number > newest:
            gone = number - newest
            passed = [*_NONE[:gone], *passed[:-gone]] if gone <= SLICES else [*_NONE]
        elif number < newest:
            number, now = newest, newest * size
        used = sum(passed)
        if used >= self.count:
            wait = (number + _slices_until(passed, used - self.count + 1)) * size - now
            return Ruling(state, 0, wait, wait)
        passed[0] += 1
        reset = (number + _slices_until(passed, 1)) * size - now
        return Ruling(((number + SLICES + 1) * size, *passed), self.count - used - 1, reset, 0)


def _slices_until(passed: list[int], wanted: int) -> int:
    """How many slices have to begin before this many of the passed requests no longer count."""
    gone = 0
    for slices, count in enumerate(reversed(passed), 1):
        gone += count
        if gone >= wanted:
            return slices
    return SLICES + 1
