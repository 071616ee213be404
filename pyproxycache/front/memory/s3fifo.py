"""S3-FIFO: which answers are kept; many that are used only once do not evict the others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

_SMALL_SHARE = 0.1
_MOST_USES = 3


class Item(Protocol):
    """Something that S3Fifo keeps: its `size` in bytes, and its `uses`, which its users count up."""

    size: int
    uses: int
    is_kept: bool


_Item = TypeVar("_Item", bound=Item)


class S3Fifo(Generic[_Item]):
    """Keeps items up to `capacity` bytes: new ones in a small queue, those used again in a main one.

    After Yang and others, "FIFO queues are all you need for cache eviction", 2023.
    """

    def __init__(self, capacity: int, evicted: Callable[[_Item], None]) -> None:
        self.used = 0
        self._capacity = capacity
        self._evicted = evicted
        self._small: OrderedDict[_Item, Hashable] = OrderedDict()  # with the keys, oldest first
        self._main: OrderedDict[_Item, Hashable] = OrderedDict()
        self._small_bytes = 0
        self._ghosts: OrderedDict[int, None] = OrderedDict()

    def add(self, key: Hashable, item: _Item) -> None:
        """Keep the item unless it is too large; `evicted` is called with it then, or with those that go."""
        if item.size > self._capacity * _SMALL_SHARE:
            self._evicted(item)
            return
        item.is_kept, item.uses = True, 0
        self.used += item.size
        if hash(key) in self._ghosts:
            del self._ghosts[hash(key)]
            self._main[item] = key
        else:
            self._small[item] = key
            self._small_bytes += item.size
        while self.used > self._capacity:
            self._evict()

    def discard(self, item: _Item) -> None:
        """Drop the item, without calling `evicted`."""
        if not item.is_kept:
            return
        item.is_kept = False
        self.used -= item.size
        if item in self._small:
            del self._small[item]
            self._small_bytes -= item.size
        else:
            del self._main[item]

    def _evict(self) -> None:
        if self._small and (self._small_bytes > self._capacity * _SMALL_SHARE or not self._main):
            self._leave_small()
        else:
            self._leave_main()

    def _leave_small(self) -> None:
        item, key = next(iter(self._small.items()))
        if item.uses:
            del self._small[item]
            self._small_bytes -= item.size
            item.uses = 0
            self._main[item] = key
            return
        self._ghosts[hash(key)] = None
        if len(self._ghosts) > len(self._main) + len(self._small):
            self._ghosts.popitem(last=False)
        self._let_go(item)

    def _leave_main(self) -> None:
        item = next(iter(self._main))
        if item.uses:
            item.uses = min(item.uses, _MOST_USES) - 1
            self._main.move_to_end(item)
        else:
            self._let_go(item)

    def _let_go(self, item: _Item) -> None:
        self.discard(item)
        self._evicted(item)
