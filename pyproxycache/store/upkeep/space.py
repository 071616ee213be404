"""Keeps the cache within its size and the disk's reserve: evicts entries, and admits bodies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pyproxycache import clock
from pyproxycache.errors import NoSpace, StoreError
from pyproxycache.options import StoreOptions
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.files.file_lock import FileLock, LockBusy
from pyproxycache.store.index.eviction import Candidate
from pyproxycache.store.index.removals import Removals
from pyproxycache.store.upkeep.full_disk import FullDisk
from pyproxycache.store.upkeep.gauge import LOW_WATER, Excess, Gauge
from pyproxycache.store.upkeep.sweep import Sweep

_HIGH_WATER = 0.95
_PARTIAL_KEPT = 86400.0
_BATCH = 1000
_FINISHED_AT_ONCE = 50_000
# Shares of the cache, one in so many.
_UNJUDGED = 8  # a body of up to this size evicts entries of any priority
_ARRIVING = 2  # may be arriving at a time; beyond half of that no body evicts entries of a higher priority
_STEP = 64  # the bodies that arrive get room so far ahead of their bytes, all together
_LEAST_STEP, _MOST_STEP = 64 << 10, 8 << 20
# Seconds that a download waits for another collection's end; then its body is not stored.
_FOR_A_CLIENT = 10.0


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed (or would remove): entries, bytes of blobs, leftover files."""

    entries: int = 0
    bytes: int = 0
    leftovers: int = 0


Evicted = Callable[[int, int], None]
"""Is told how many entries were evicted, and their bytes."""


class Space:
    """Decides which bodies may be stored, and evicts what is unused or has the lowest priority for them.

    One thread of all processes collects at a time (a file lock). Each method raises StoreError.
    """

    def __init__(
        self,
        options: StoreOptions,
        removals: Removals,
        sweep: Sweep,
        blobs: Blobs,
        full_disk: FullDisk,
        tell: Evicted | None = None,
    ) -> None:
        """`tell` is called with how many entries were evicted, and how many bytes that frees."""
        self._options = options
        self._removals = removals
        self._sweep = sweep
        self._blobs = blobs
        self._full_disk = full_disk
        self._tell = tell
        self._gauge = Gauge(options, removals, blobs)
        self._lock = FileLock(blobs.root / "collect.lock")

    # Whether and how far a body may be stored.

    def why_not_admitted(self, size: int, head_size: int = 0) -> str | None:
        """Why a body of `size` bytes may not be stored: "size", or "no-room" on the disk; None if it may.

        Room for it is made as it arrives. Collects where the cache is over its size.
        """
        if head_size > self._options.max_head:
            return "size"
        self._removals.refuse_endless_reader()
        measured = self._gauge.lately()
        if size > measured.largest_object_ever:
            return "size"
        if size > measured.largest_object or not measured.capacity:
            return "no-room"
        if measured.excess(1.0):
            # More is stored than the housekeeper removes: those who store have to help.
            with contextlib.suppress(StoreError):
                self.collect(wait=_FOR_A_CLIENT, extra=measured.capacity // _STEP)
        return None

    def allow(self, size: int, count: int) -> int:
        """Make room for `count` more bytes of a body that has `size`; gives up to which size it may grow.

        A large body gets only the room of entries with a lower priority. Raises NoSpace, with a text for
        the log, if no room can be made.
        """
        measured = self._gauge.now()
        capacity, taken = measured.capacity, measured.taken
        arriving = taken.arriving
        if size + count > measured.largest_object:
            raise NoSpace("it is larger than what may be stored")
        if arriving + count > capacity // _ARRIVING:
            raise NoSpace("as much as may be on its way at a time is arriving already")
        share = capacity // _STEP // max(1, taken.arriving_files)
        ahead = max(count, _LEAST_STEP, min(_MOST_STEP, share))
        if measured.excess(1.0, ahead):
            is_judged = size > capacity // _UNJUDGED or arriving > capacity // _ARRIVING // 2
            below = self._removals.priority_of_new(size + count) if is_judged else None
            self.collect(wait=_FOR_A_CLIENT, extra=ahead, below=below)
            if self._gauge.now().excess(1.0, count):
                raise NoSpace("what would have to go for it is worth more, or the disk is full otherwise")
        return min(size + ahead, measured.largest_object)

    def make_room(self, count: int) -> None:
        """Evict so much that `count` more bytes fit, after a write that found none. Raises StoreError."""
        self.collect(wait=_FOR_A_CLIENT, extra=count)

    # Making room.

    def needs_collecting(self) -> bool:
        """Whether the cache is over 95 % of its size, or the disk below the reserve."""
        return bool(self._gauge.now().excess(_HIGH_WATER))

    def collect(
        self,
        *,
        wait: float = 0.0,
        dry_run: bool = False,
        extra: int = 0,
        below: float | None = None,
        progress: Callable[[Collected], None] | None = None,
    ) -> Collected | None:
        """Remove what is unused for too long, then what has the lowest priority, down to 90 % of the size.

        With `extra`, only until so many more bytes fit; with `below`, only entries of a lower priority than
        that. `progress` is called with what was removed so far. If another thread is collecting, waits for
        its end: raises StoreError after `wait` seconds, but gives None at once if that is 0.
        """
        with self._only_collector(wait) as alone:
            if not alone:
                return None
            if not dry_run:
                # First what no entry names, because nothing is lost by that.
                self._full_disk.forget(self._drop_unnamed)
            evicted, eviction = Collected(), _Eviction(self._full_disk, self._removals, self._blobs)
            finish = None if dry_run else eviction.finish
            for batch in self._victims(extra, below, finish):
                freed = sum(one.freed for one in batch)
                if not dry_run:
                    eviction.evict(batch)
                    if self._tell is not None:
                        self._tell(len(batch), freed)
                evicted = Collected(evicted.entries + len(batch), evicted.bytes + freed)
                if progress is not None:
                    progress(evicted)
            eviction.finish()
            if extra and evicted.entries and self._blobs.disk().missing(self._options.reserve) + extra > 0:
                self._removals.compact()  # a file cannot use the index's empty pages
            leftovers = 0 if dry_run or extra else self._tidy()
            return Collected(evicted.entries, evicted.bytes, leftovers)

    def restock(self) -> None:
        """Make the ballast, if it is not there and there is room for it."""
        measured = self._gauge.lately()
        self._full_disk.restock(measured.spare, measured.capacity)

    def recover(self) -> int:
        """Remove what dead writers left, after an unclean stop; gives the number of files."""
        self._drop_unnamed()
        return self._remove_leftovers()

    def _tidy(self) -> int:
        self._removals.drop_ghosts()
        self._sweep.forget_expired(clock.wall())
        swept = self._remove_leftovers()
        self._full_disk.compact()
        return swept

    def _remove_leftovers(self) -> int:
        return self._sweep.remove_files(unused_since=clock.wall() - _PARTIAL_KEPT)

    def _drop_unnamed(self) -> int:
        return self._removals.drop_unnamed(self._blobs)

    def _victims(
        self, extra: int, below: float | None, finish: Callable[[], None] | None
    ) -> Iterator[list[Candidate]]:
        """Batches of entries to evict: all unused ones, then the lowest priorities until there is room.

        How much the eviction of a row frees is estimated, and measured in the end, after `finish` has
        removed the blobs (None: nothing is removed).
        """
        high, low = (1.0, 1.0) if extra else (_HIGH_WATER, LOW_WATER)
        is_over = bool(self._gauge.now().excess(high, extra))
        excess = self._gauge.now().excess(low, extra) if is_over else Excess()
        unused, since, found = self._options.unused, 0.0, None
        if unused is not None:
            since = clock.wall() - unused
            while batch := self._removals.unused(since, found, _BATCH):
                yield batch
                for one in batch:
                    excess = excess.without(one)
                found = batch[-1]
        found = None
        while excess and (batch := self._removals.least_worth(since, found, _BATCH)):
            batch, excess = _up_to(batch, excess, below)
            if not batch:
                return
            found = batch[-1]
            yield batch
            if not excess and finish is not None:
                finish()
                excess = self._gauge.now().excess(low, extra)

    @contextlib.contextmanager
    def _only_collector(self, wait: float) -> Iterator[bool]:
        with contextlib.ExitStack() as holding:
            try:
                holding.enter_context(self._lock.held(wait))
                is_held = True
            except LockBusy:
                if wait:
                    raise
                is_held = False
            yield is_held


class _Eviction:
    """Evicts batch by batch: rows at once, but files and ghosts later, by 50,000 and sorted.

    So those that are neighbours on the disk are removed together.
    """

    def __init__(self, full_disk: FullDisk, removals: Removals, blobs: Blobs) -> None:
        self._full_disk = full_disk
        self._removals = removals
        self._blobs = blobs
        self._ghosts: dict[int, int] = {}
        self._unfinished = 0  # entries

    def evict(self, batch: list[Candidate]) -> None:
        def forget() -> int:
            self._ghosts |= self._removals.evict(batch)
            return len(batch)

        self._full_disk.forget(forget, lambda: self._removals.unlink_first(batch, self._blobs))
        self._unfinished += len(batch)
        if self._unfinished >= _FINISHED_AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Remove the files of what was evicted, and keep its ghosts, as far as that was put off."""
        if self._unfinished:
            self._full_disk.forget(self._finish)
        self._unfinished = 0

    def _finish(self) -> int:
        ghosts, self._ghosts = self._ghosts, {}  # on a full disk they are lost
        count = self._removals.drop_unnamed(self._blobs)
        self._removals.add_ghosts(ghosts)
        return count


def _up_to(
    batch: Iterable[Candidate], excess: Excess, below: float | None
) -> tuple[list[Candidate], Excess]:
    """The first candidates, until they free the excess or one is not `below`; and the excess left."""
    some = []
    for one in batch:
        if not excess or (below is not None and one.priority is not None and one.priority >= below):
            break
        some.append(one)
        excess = excess.without(one)
    return some, excess
