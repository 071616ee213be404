"""Which of the members that are well gets a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Way = Literal["least", "turns"]


@dataclass(frozen=True, slots=True)
class Eligible:
    """A member that may get a request: its `place` in the pool, and how many it answers now (`busy`)."""

    place: int
    weight: int = 1
    busy: int = 0

    @property
    def load(self) -> float:
        """How busy it is for its weight; idle ones are equal, or the lightest would get nothing."""
        return self.busy / self.weight


def choose(eligible: Sequence[Eligible], turn: int, way: Way) -> int:
    """The place of the one that gets the request with this number; there has to be one.

    Two are compared and not all: requests that come at once would all take the same one. Which two are
    compared changes with the turn, so where nobody is busy, they are taken in turn.
    """
    by_weight = [one for one in eligible for _ in range(one.weight)]
    first = by_weight[turn % len(by_weight)]
    others = [one for one in by_weight if one.place != first.place]
    if way == "turns" or not others:
        return first.place
    second = others[(turn // len(by_weight)) % len(others)]
    return second.place if second.load < first.load else first.place
