"""What one metric is: its name, its kind, and what its values are told apart by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The usual buckets of a histogram of times."""


class Kind(Enum):
    """What can be done with the values of a family."""

    COUNTER = "counter"
    """They only grow, and are summed over all workers, those that have ended, too."""
    GAUGE = "gauge"
    """They go up and down, and are summed over the workers that live."""
    HISTOGRAM = "histogram"
    """They are counted by size, in buckets, and summed as those of counters are."""


@dataclass(frozen=True, slots=True)
class Family:
    """Values of one name, told apart by `labels`; `buckets` are the upper bounds of a histogram's."""

    name: str
    help: str
    kind: Kind = Kind.COUNTER
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers one series takes: of a histogram its sum, its buckets, and one for the rest."""
        return len(self.buckets) + 2 if self.kind is Kind.HISTOGRAM else 1


class Series(NamedTuple):
    """The numbers of one series of a family, with the values of its labels."""

    family: Family
    labels: tuple[str, ...]
    numbers: tuple[float, ...]


Source = Callable[[], Iterable[Series]]
"""Gives series that are those of all workers already; raises StoreError if they are not to be had."""
