"""Keeps the cache within its size and the disk's reserve: evicts entries, and admits bodies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.errors import NoSpace, StoreError
from pyproxycache.options import StoreOptions
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.files.file_lock import FileLock, LockBusy
from pyproxycache.store.files.footprint import Disk, Footprint, room_beside_log
from pyproxycache.store.flights.claims import Claims
from pyproxycache.store.index.eviction import Candidate
from pyproxycache.store.index.index import Index
from pyproxycache.store.index.removals import Removals
from pyproxycache.store.upkeep.ballast import Ballast

_HIGH_WATER = 0.95
_LOW_WATER = 0.90
_PARTIAL_KEPT = 86400.0
_BATCH = 1000
_FINISHED_AT_ONCE = 50_000
# Shares of the cache (one in so many): what takes its room whatever goes for it, what may be arriving at a
# time, of which half is judged as one, and how far ahead of its bytes a body gets room.
_UNJUDGED = 8
_ARRIVING = 2
_STEP = 64
_MOMENT = 0.25
# Bytes free on the disk with which nothing else is to be thought of when rows go.
_LOG_HAS_ROOM = 256 << 20
_LEAST_STEP, _MOST_STEP = 64 << 10, 8 << 20
# Seconds that a download waits for another one's collecting, before its body is not stored.
_FOR_A_CLIENT = 10.0


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed (or would remove): entries, bytes of blobs, leftover files."""

    entries: int = 0
    bytes: int = 0
    leftovers: int = 0


@dataclass(frozen=True, slots=True)
class _Excess:
    """Bytes and files to be freed; at most `index_bytes` of them can come from the index."""

    bytes: int = 0
    files: int = 0
    index_bytes: int = 0

    def __bool__(self) -> bool:
        return self.bytes > 0 or self.files > 0

    def without(self, gone: Candidate) -> _Excess:
        """What is still to be freed after the eviction of a candidate, by estimate."""
        of_index = min(self.index_bytes, gone.index_bytes)
        freed = gone.file_bytes + of_index
        return _Excess(self.bytes - freed, self.files - gone.files, self.index_bytes - of_index)


class Space:
    """Evicts what is unused or worth least; one collector at a time over all processes (a file lock).

    `_last` is replaced as a whole, and needs no lock.
    """

    def __init__(
        self, options: StoreOptions, index: Index, removals: Removals, claims: Claims, blobs: Blobs
    ) -> None:
        self._options = options
        self._index = index
        self._removals = removals
        self._claims = claims
        self._blobs = blobs
        self._last: tuple[float, tuple[Footprint, Disk] | None] = 0.0, None
        most = options.max_size
        self._max_size = None if most is None else room_beside_log(most)
        self._ballast = Ballast(options.path)
        self._lock = FileLock(blobs.root / "collect.lock")

    # Whether and how far a body may be stored.

    def admits(self, size: int, head_size: int = 0) -> bool:
        """Whether a body of so many bytes may be stored, if room for it can be made as it arrives."""
        if head_size > self._options.max_head:
            return False
        self._index.refuse_endless_reader()
        taken, disk = self._lately()
        if size > self._largest_object(taken, disk):
            return False
        if self._missing(taken, disk, 1.0):
            # More is stored than the housekeeper gets away: whoever stores is to help.
            with contextlib.suppress(StoreError):
                self.collect(wait=_FOR_A_CLIENT, extra=self._capacity(taken, disk) // _STEP)
        return True

    def allow(self, size: int, count: int) -> int:
        """How large a growing body of `size` bytes may become, so many bytes more at least.

        Makes room for them, at the cost of what is worth less where the body is a large one. Raises
        NoSpace, with a text for the log, where there is none to be made.
        """
        taken, disk = self._measured()
        capacity = self._capacity(taken, disk)
        largest = self._largest_object(taken, disk)
        if size + count > largest:
            raise NoSpace("it is larger than what may be stored")
        if taken.arriving + count > capacity // _ARRIVING:
            raise NoSpace("as much as may be on its way at a time is arriving already")
        ahead = max(count, min(_MOST_STEP, max(_LEAST_STEP, capacity // _STEP)))
        if self._missing(taken, disk, 1.0, ahead):
            is_judged = size > capacity // _UNJUDGED or taken.arriving > capacity // _ARRIVING // 2
            below = self._removals.priority_of_new(size + count) if is_judged else None
            self.collect(wait=_FOR_A_CLIENT, extra=ahead, below=below)
            if self._missing(*self._measured(), 1.0, count):
                raise NoSpace("what would have to go for it is worth more, or the disk is full otherwise")
        return min(size + ahead, largest)

    def make_room(self, count: int) -> None:
        """Evict so much that `count` more bytes fit, after a write that found none. Raises StoreError."""
        self.collect(wait=_FOR_A_CLIENT, extra=count)

    def _lately(self) -> tuple[Footprint, Disk]:
        """What was measured a moment ago."""
        at, measured = self._last
        if measured is None or clock.steady() - at > _MOMENT:
            measured = self._measured()
            self._last = clock.steady(), measured
        return measured

    def _measured(self) -> tuple[Footprint, Disk]:
        taken = replace(self._removals.footprint(), arriving=self._blobs.arriving_bytes())
        return taken, self._blobs.disk().with_more(taken.spare)

    def _capacity(self, taken: Footprint, disk: Disk) -> int:
        """Bytes that the cache may take, the disk being as full with other things as it is."""
        capacity = max(0, taken.total - disk.missing(self._options.reserve))
        return capacity if self._max_size is None else min(capacity, self._max_size)

    def _largest_object(self, taken: Footprint, disk: Disk) -> int:
        capacity = self._capacity(taken, disk)
        most, share = int(capacity * _LOW_WATER), self._options.max_object
        return most if share is None else min(most, share.of(capacity))

    # Making room.

    def needs_collecting(self) -> bool:
        """Whether the cache is over 95 % of its size, or the disk below the reserve."""
        return bool(self._missing(*self._measured(), _HIGH_WATER))

    def collect(
        self,
        *,
        wait: float = 0.0,
        dry_run: bool = False,
        extra: int = 0,
        below: float | None = None,
        progress: Callable[[Collected], None] | None = None,
    ) -> Collected | None:
        """Remove what is unused for too long, then what is worth least, down to 90 % of the size.

        With `extra`, only so that so many more bytes fit; with `below`, only what has a lower priority.
        None when another one is collecting. With `wait`, its end is waited for, so many seconds: raises
        StoreError after them.
        """
        with self._only_collector(wait) as alone:
            if not alone:
                return None
            if not dry_run:
                # First what no entry names, for nothing is lost with it.
                self.on_full_disk(self._drop_unnamed)
            evicted, eviction = Collected(), _Eviction(self, self._removals, self._blobs)
            finish = None if dry_run else eviction.finish
            for batch in self._victims(extra, below, finish):
                if not dry_run:
                    eviction.evict(batch)
                evicted = Collected(
                    evicted.entries + len(batch), evicted.bytes + sum(one.freed for one in batch)
                )
                if progress is not None:
                    progress(evicted)
            eviction.finish()
            if extra and evicted.entries and self._blobs.disk().missing(self._options.reserve) + extra > 0:
                self._removals.compact()  # what is to come into a file takes its room of the disk
            leftovers = 0 if dry_run or extra else self._tidy()
            return Collected(evicted.entries, evicted.bytes, leftovers)

    def restock(self) -> None:
        """Make the ballast that a full disk needs, where there is room for it now."""
        taken, disk = self._lately()
        self._ballast.restock(-disk.missing(self._options.reserve), self._capacity(taken, disk))

    def recover(self) -> int:
        """After an unclean stop: remove what dead writers left behind; gives how many files."""
        self._drop_unnamed()
        return self._sweep()

    def on_full_disk(self, forget: Callable[[], int], unlink: Callable[[], None] | None = None) -> int:
        """Evict entries, also where the disk has no byte left for the index to note that.

        `forget` gives how many it were, `unlink` removes their blobs, whatever names them. Raises
        StoreError.
        """
        before, is_short = self._index.usage().entries, self._blobs.disk().free < _LOG_HAS_ROOM
        with contextlib.suppress(NoSpace), self._removals.settling_at_once(is_short):
            return forget()
        self._ballast.release()
        with self._removals.settling_at_once():
            while True:
                held = self._index.usage()
                try:
                    self._drop_unnamed()
                    forget()
                    return before - self._index.usage().entries
                except NoSpace:
                    if self._index.usage() != held:
                        continue  # some went, and others can go by the same room
                    if unlink is None:
                        raise
                    unlink()
                    unlink = None

    def _tidy(self) -> int:
        self._removals.drop_ghosts()
        self._claims.forget_expired(clock.wall())
        swept = self._sweep()
        try:
            self._removals.compact()
        except NoSpace:
            self._ballast.release()  # its room is for the log; the housekeeper puts it back
            self._removals.compact()
        return swept

    def _sweep(self) -> int:
        return self._claims.sweep(unused_since=clock.wall() - _PARTIAL_KEPT)

    def _drop_unnamed(self) -> int:
        return self._removals.drop_unnamed(self._blobs)

    def _victims(
        self, extra: int, below: float | None, finish: Callable[[], None] | None
    ) -> Iterator[list[Candidate]]:
        """Batches of entries to evict: all that is unused, then what is worth least until there is room.

        What the disk gets back of a row is estimated, and measured in the end, once they and their blobs
        are gone: `finish` sees to that. None: they stay.
        """
        high, low = (1.0, 1.0) if extra else (_HIGH_WATER, _LOW_WATER)
        is_over = bool(self._missing(*self._measured(), high, extra))
        excess = self._missing(*self._measured(), low, extra) if is_over else _Excess()
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
                excess = self._missing(*self._measured(), low, extra)

    def _missing(self, taken: Footprint, disk: Disk, water: float, extra: int = 0) -> _Excess:
        """What is to go until the cache is at `water` of its size and the disk keeps its reserve."""
        missing, reserve = 0, self._options.reserve
        if self._max_size is not None:
            missing = taken.total + extra - int(self._max_size * water)
        return _Excess(
            max(missing, disk.missing(reserve) + extra), disk.missing_files(reserve), taken.counted_index
        )

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
    """Rows go at once; files and ghosts by the thousand, sorted: so they are neighbours on the disk."""

    def __init__(self, space: Space, removals: Removals, blobs: Blobs) -> None:
        self._space = space
        self._removals = removals
        self._blobs = blobs
        self._ghosts: dict[int, int] = {}
        self._unfinished = 0  # entries

    def evict(self, batch: list[Candidate]) -> None:
        def forget() -> int:
            self._ghosts |= self._removals.evict(batch)
            return len(batch)

        self._space.on_full_disk(forget, lambda: self._removals.unlink_first(batch, self._blobs))
        self._unfinished += len(batch)
        if self._unfinished >= _FINISHED_AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Remove the files of what was evicted, and keep its ghosts, as far as that was put off."""
        if self._unfinished:
            self._space.on_full_disk(self._finish)
        self._unfinished = 0

    def _finish(self) -> int:
        ghosts, self._ghosts = self._ghosts, {}  # on a full disk they are lost
        count = self._removals.drop_unnamed(self._blobs)
        self._removals.add_ghosts(ghosts)
        return count


def _up_to(
    batch: Iterable[Candidate], excess: _Excess, below: float | None
) -> tuple[list[Candidate], _Excess]:
    """So many of them that this much goes, and only those of a lower priority; and what is left to go."""
    some = []
    for one in batch:
        if not excess or (below is not None and one.priority is not None and one.priority >= below):
            break
        some.append(one)
        excess = excess.without(one)
    return some, excess
