"""Measures what the cache takes of the disk, and how much of that is too much."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.options import StoreOptions
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.files.footprint import Disk, Footprint, room_beside_log
from pyproxycache.store.index.eviction import Candidate
from pyproxycache.store.index.removals import Removals

LOW_WATER = 0.90
"""The share of the cache's size that a collection leaves, and that one body may have."""

_MOMENT = 0.25


@dataclass(frozen=True, slots=True)
class Excess:
    """Bytes and files to be freed; at most `index_bytes` of them can come from the index."""

    bytes: int = 0
    files: int = 0
    index_bytes: int = 0

    def __bool__(self) -> bool:
        return self.bytes > 0 or self.files > 0

    def without(self, gone: Candidate) -> Excess:
        """What is still to be freed after the eviction of a candidate, by estimate."""
        of_index = min(self.index_bytes, gone.index_bytes)
        freed = gone.file_bytes + of_index
        return Excess(self.bytes - freed, self.files - gone.files, self.index_bytes - of_index)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the cache takes at one moment and what the disk has left, seen by the limits in `options`."""

    options: StoreOptions
    taken: Footprint
    disk: Disk

    @property
    def max_size(self) -> int | None:
        """Bytes that the cache may take without its log; None if only the disk limits it."""
        most = self.options.max_size
        return None if most is None else room_beside_log(most)

    @property
    def capacity(self) -> int:
        """Bytes that the cache may take while other files take as much of the disk as they do."""
        return min(max(0, self.taken.total + self.spare), self._most)

    @property
    def largest_object(self) -> int:
        """Bytes of the largest body that may be stored."""
        return self._largest_object_in(self.capacity)

    @property
    def largest_object_ever(self) -> int:
        """The same if no other files were on the disk."""
        return self._largest_object_in(self._most)

    @property
    def _most(self) -> int:
        beside_reserve = max(0, self.disk.size - self.options.reserve.of(self.disk.size))
        return beside_reserve if self.max_size is None else min(beside_reserve, self.max_size)

    def _largest_object_in(self, capacity: int) -> int:
        most, share = int(capacity * LOW_WATER), self.options.max_object
        return most if share is None else min(most, share.of(capacity))

    @property
    def spare(self) -> int:
        """Bytes of the disk that are free beside its reserve; negative if the reserve is not free."""
        return -self.disk.missing(self.options.reserve)

    def excess(self, water: float, extra: int = 0) -> Excess:
        """What is to be freed until `extra` more bytes fit, and the cache is at `water` of its size.

        The disk has to keep its reserve, too.
        """
        over = 0 if self.max_size is None else self.taken.total + extra - int(self.max_size * water)
        reserve = self.options.reserve
        return Excess(
            max(over, extra - self.spare), self.disk.missing_files(reserve), self.taken.counted_index
        )


class Gauge:
    """Measures the cache in its folder; `_last` is replaced as a whole, and needs no lock."""

    def __init__(self, options: StoreOptions, removals: Removals, blobs: Blobs) -> None:
        self._options = options
        self._removals = removals
        self._blobs = blobs
        self._last: tuple[float, Measured] | None = None

    def now(self) -> Measured:
        """Measure; raises StoreError."""
        arriving, files = self._blobs.arriving()
        taken = replace(self._removals.footprint(), arriving=arriving, arriving_files=files)
        return Measured(self._options, taken, self._blobs.disk().with_more(taken.spare))

    def lately(self) -> Measured:
        """What was measured in the last quarter of a second, else measured now; raises StoreError."""
        last = self._last
        if last is None or clock.steady() - last[0] > _MOMENT:
            measured = self.now()
            last = self._last = clock.steady(), measured
        return last[1]
