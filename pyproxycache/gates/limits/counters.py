"""What the gate may ask of the counters of limits, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pyproxycache.gates.limits.limit_rule import LimitRule, Ruling


@dataclass(frozen=True, slots=True)
class CountedLimit:
    """A limit whose keys are counted, at most `keys` of them apart at the same time.

    Its name tells it from all others, those of other routes too.
    """

    name: str
    rule: LimitRule
    keys: int


class Charge(NamedTuple):
    """One more request of a key of a limit; the key is 16 bytes, in which nobody can read what it is of."""

    limit: CountedLimit
    key: bytes


MOST_CHARGES = 64
"""How many charges one request may cause."""


class Counters(Protocol):
    """Counts the requests of all workers; safe to call from any number of threads.

    It has a clock of its own, which is that of all who share it. Where a limit has more keys than are
    counted apart, no key is ever allowed more than the limit says: those that came last share one count.
    """

    def take(self, charges: Sequence[Charge]) -> list[Ruling]:
        """Count the request against all of them if all allow it, else against none; what each says.

        At most MOST_CHARGES.
        """

    def look(self, charges: Sequence[Charge]) -> list[Ruling]:
        """What take() would give for these charges, of which none is counted."""
