"""Eviction policies over objects of different sizes, each with the same three steps.

`insert` takes a new object in, whether or not there is room; `touch` says that it was asked for again (so
many times since the last word of it); `evict` removes at least one object. Who drives them says when: at
each request, or in batches (`eviction.py`). Capacity and sizes are in bytes, keys are integers.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol


class Policy(Protocol):
    """What the drivers call. `used` is the sum of the sizes of what is in the cache."""

    used: int

    def __contains__(self, key: int) -> bool: ...

    def insert(self, key: int, size: int) -> None: ...

    def touch(self, key: int, count: int = 1) -> None: ...

    def evict(self) -> None: ...


class Lru:
    """The least recently used goes."""

    def __init__(self, capacity: int) -> None:
        self.used = 0
        self._sizes: OrderedDict[int, int] = OrderedDict()  # least recently used first

    def __contains__(self, key: int) -> bool:
        return key in self._sizes

    def insert(self, key: int, size: int) -> None:
        self._sizes[key] = size
        self.used += size

    def touch(self, key: int, count: int = 1) -> None:
        self._sizes.move_to_end(key)

    def evict(self) -> None:
        self.used -= self._sizes.popitem(last=False)[1]


class Ghosts:
    """Names of evicted objects and how often they were asked for; the oldest are forgotten."""

    def __init__(self) -> None:
        self._uses: OrderedDict[int, int] = OrderedDict()

    def remember(self, key: int, uses: int, most: int) -> None:
        self._uses[key] = uses
        while len(self._uses) > max(most, 1):
            self._uses.popitem(last=False)

    def recall(self, key: int) -> int | None:
        """How often the object was asked for when it was here, and forgets it; None when not remembered."""
        return self._uses.pop(key, None)


class S3Fifo:
    """A small queue on trial, a main queue with second chances, and the names of what failed the trial.

    New objects wait in the small queue (10 % of the bytes). At its end those asked for more than once again
    go to the main queue, the others are evicted and become ghosts; a ghost that comes back goes to the main
    queue at once. At the end of the main queue an object that was asked for goes round again, for one count
    less. There are as many ghosts as there are objects in the main queue.
    """

    MOST_COUNTED = 3

    def __init__(self, capacity: int, small: float = 0.1) -> None:
        self.used = 0
        self._small_limit = int(capacity * small)
        self._small_used = 0
        self._small: OrderedDict[int, int] = OrderedDict()  # key to size; first in, first out
        self._main: OrderedDict[int, int] = OrderedDict()
        self._ghosts = Ghosts()
        self._counts: dict[int, int] = {}  # times asked for since the queue took it in, 3 at most

    def __contains__(self, key: int) -> bool:
        return key in self._counts

    def insert(self, key: int, size: int) -> None:
        self._counts[key] = 0
        self.used += size
        if self._ghosts.recall(key) is None:
            self._small[key] = size
            self._small_used += size
        else:
            self._main[key] = size

    def touch(self, key: int, count: int = 1) -> None:
        self._counts[key] = min(self._counts[key] + count, self.MOST_COUNTED)

    def evict(self) -> None:
        on_trial = self._small_used > self._small_limit or not self._main
        if not (on_trial and self._try_small()):
            self._evict_main()

    def _try_small(self) -> bool:
        """Go through the small queue's end up to the first that fails; False when none did."""
        while self._small:
            key, size = self._small.popitem(last=False)
            self._small_used -= size
            if self._counts[key] > 1:
                self._counts[key] = 0
                self._main[key] = size
            else:
                self._forget(key, size)
                self._ghosts.remember(key, 0, len(self._main))
                return True
        return False

    def _evict_main(self) -> None:
        while True:
            key, size = self._main.popitem(last=False)
            if self._counts[key] == 0:
                self._forget(key, size)
                return
            self._counts[key] -= 1
            self._main[key] = size

    def _forget(self, key: int, size: int) -> None:
        del self._counts[key]
        self.used -= size


Worth = Callable[[int, int], float]


class GreedyDual:
    """The lowest priority goes: the age of the cache when last asked for, plus what the object is worth.

    The age is the highest priority that was evicted so far. `worth` takes how often the object was asked
    for since it was stored, and its size; among equals the least recently used goes.
    """

    def __init__(self, worth: Worth) -> None:
        self.used = 0
        self._worth = worth
        self._age = 0.0
        self._accesses = 0
        self._objects: dict[
            int, tuple[float, int, int, int]
        ] = {}  # key to priority, last access, uses, size
        self._heap: list[
            tuple[float, int, int]
        ] = []  # priority, last access, key; it may lag, for both only rise

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: int) -> bool:
        return key in self._objects

    def insert(self, key: int, size: int, uses: int = 0) -> None:
        heapq.heappush(self._heap, (*self._rank(key, uses, size), key))
        self.used += size

    def touch(self, key: int, count: int = 1) -> None:
        _, _, uses, size = self._objects[key]
        self._rank(key, uses + count, size)

    def _rank(self, key: int, uses: int, size: int) -> tuple[float, int]:
        self._accesses += 1
        priority = self._age + self._worth(uses, size)
        self._objects[key] = (priority, self._accesses, uses, size)
        return priority, self._accesses

    def evict(self) -> None:
        self._evict_lowest()

    def _evict_lowest(self) -> tuple[int, int]:
        """Gives key and uses of what went."""
        while True:
            _, access, key = self._heap[0]
            priority, last, uses, size = self._objects[key]
            if access == last:
                break
            heapq.heapreplace(self._heap, (priority, last, key))
        heapq.heappop(self._heap)
        del self._objects[key]
        self._age = priority
        self.used -= size
        return key, uses


class BoundedGdsf(GreedyDual):
    """GDSF with a bound on what frequency and size can do, and with ghosts.

    Uses count up to `most`, so what was popular is gone soon after it is not. What was never asked for
    again is worth `trial` of one use. Size counts by a small power. What comes back has its former uses
    and one more.
    """

    def __init__(
        self, *, most: int = 3, trial: float = 0.25, power: float = 0.1, ghosts: bool = True
    ) -> None:
        super().__init__(lambda uses, size: max(trial, min(uses, most)) / size**power)
        self._ghosts = Ghosts() if ghosts else None

    def insert(self, key: int, size: int, uses: int = 0) -> None:
        before = self._ghosts.recall(key) if self._ghosts is not None else None
        super().insert(key, size, uses if before is None else before + 1)

    def evict(self) -> None:
        key, uses = self._evict_lowest()
        if self._ghosts is not None:
            self._ghosts.remember(key, uses, len(self))


def gdsf() -> GreedyDual:
    """GDSF for the object hit ratio: all objects cost the same to fetch, so small ones are worth more."""
    return GreedyDual(lambda uses, size: (1 + uses) / size)


def lfu_da() -> GreedyDual:
    """GDSF for the byte hit ratio: an object costs its size to fetch. That is LFU with dynamic aging."""
    return GreedyDual(lambda uses, size: 1 + uses)
