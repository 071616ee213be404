"""What a rule for a rate of requests is: a pure function of what is kept of a key, and the time."""

from __future__ import annotations

from struct import Struct
from typing import Protocol

from msgspec import Struct as Record

SECOND = 1_000_000
"""Times are whole microseconds of a monotonic clock, so that all sums are exact."""

State = tuple[int, ...]
"""What is kept of one key: the time from which on it means as much as nothing, and what its rule counts."""


class Ruling(Record, frozen=True, gc=False):
    """What a rule says of one more request of a key.

    `state` is to be kept if the request is counted. `left` is how many more may follow at once, `reset` in
    how many microseconds there will be more of them. `wait` is 0 if the request is allowed, else the
    microseconds until one is.
    """

    state: State
    left: int
    reset: int
    wait: int


class LimitRule(Protocol):
    """Decides whether one more request of a key is allowed; knows nothing of keys and clocks.

    A time before that of the state, as another process may have read it, counts as that of the state.
    """

    @property
    def format(self) -> Struct:
        """How a state is laid out in memory: in at most ROOM bytes, the time first."""

    @property
    def none(self) -> State:
        """The state before the first request: all zeros."""

    @property
    def count(self) -> int:
        """How many requests it allows in each `per`."""

    @property
    def per(self) -> int:
        """The time that its count is for (microseconds)."""

    def take(self, state: State, now: int) -> Ruling:
        """What it says of one more request at this time."""


ROOM = 112
"""The bytes that there are for a state."""
