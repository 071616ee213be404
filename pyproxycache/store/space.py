"""Room on the disk: what goes when the cache is too large, too old, or the disk too full."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.options import StoreOptions
from pyproxycache.store.blobs import Blobs
from pyproxycache.store.claims import Claims
from pyproxycache.store.eviction import Candidate
from pyproxycache.store.index import Index
from pyproxycache.store.locks import open_lock

_HIGH_WATER = 0.95
_LOW_WATER = 0.90
_PARTIAL_KEPT = 86400.0
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed (or would remove): entries, bytes of blobs, leftover files."""

    entries: int = 0
    bytes: int = 0
    leftovers: int = 0


class Space:
    """Collects what is unused or worth least; one collector at a time over all processes (a file lock)."""

    def __init__(self, options: StoreOptions, index: Index, claims: Claims, blobs: Blobs) -> None:
        self._options = options
        self._index = index
        self._claims = claims
        self._blobs = blobs

    def needs_collecting(self) -> bool:
        """Whether the cache is over 95 % of its size, or the disk below the reserve."""
        return self._excess(_HIGH_WATER, 0) > 0

    def admits(self, size: int) -> bool:
        """Whether a body of this size (bytes) may be stored, after making room for it if need be."""
        if not self.admits_growth(size):
            return False
        if self.fits_disk(size):
            return True
        if self.fits_disk(size - self._index.used_bytes()):
            self.make_room(size)
        return self.fits_disk(size)

    def admits_growth(self, size: int) -> bool:
        """Whether an object may become this large (bytes): the object's own limit, and the cache's."""
        limit, most = self._options.max_object, self._options.max_size
        return (limit is None or size <= limit) and (most is None or size <= most * _LOW_WATER)

    def fits_disk(self, size: int) -> bool:
        """Whether so many more bytes leave the disk's reserve alone."""
        free, disk = self._blobs.free_space()
        return free - size > self._options.reserve.room(disk)

    def make_room(self, size: int) -> None:
        """Evict so that `size` more bytes fit the disk above the reserve, as far as possible."""
        self.collect(wait=True, extra=size)

    def collect(
        self,
        *,
        wait: bool = False,
        dry_run: bool = False,
        extra: int = 0,
        progress: Callable[[Collected], None] | None = None,
    ) -> Collected | None:
        """Remove what is unused for too long, then what is worth least, down to 90 % of the size.

        None when another process is collecting and `wait` is false.
        """
        with self._only_collector(wait) as alone:
            if not alone:
                return None
            if not dry_run:
                # First what no entry names, for nothing is lost with it.
                self._drop_unnamed()
            evicted = Collected()
            for batch in self._victims(extra):
                if not dry_run:
                    self._index.evict(batch, self._blobs.remove)
                evicted = Collected(
                    evicted.entries + len(batch), evicted.bytes + sum(one.freed for one in batch)
                )
                if progress is not None:
                    progress(evicted)
            leftovers = 0 if dry_run or extra else self._tidy()
            return Collected(evicted.entries, evicted.bytes, leftovers)

    def recover(self) -> int:
        """After an unclean stop: remove what dead writers left behind; gives how many files."""
        self._drop_unnamed()
        return self._sweep()

    def _tidy(self) -> int:
        self._index.drop_ghosts()
        self._claims.forget_expired(clock.wall())
        return self._sweep()

    def _sweep(self) -> int:
        return self._claims.sweep(unused_since=clock.wall() - _PARTIAL_KEPT)

    def _drop_unnamed(self) -> None:
        self._index.drop_unnamed(self._blobs.remove)

    def _victims(self, extra: int) -> Iterator[list[Candidate]]:
        """Batches of entries to evict: all that is unused, then what is worth least until there is room."""
        excess = self._excess(_LOW_WATER, extra) if self._excess(_HIGH_WATER, extra) > 0 else 0
        unused, since, found = self._options.unused, 0.0, None
        if unused is not None:
            since = clock.wall() - unused
            while batch := self._index.unused(since, found, _BATCH):
                yield batch
                excess -= sum(one.freed for one in batch)
                found = batch[-1]
        found = None
        while excess > 0 and (batch := self._index.least_worth(since, found, _BATCH)):
            found = batch[-1]
            batch = list(_up_to(batch, excess))
            yield batch
            excess -= sum(one.freed for one in batch)

    def _excess(self, water: float, extra: int) -> int:
        """Bytes to free until the cache is at `water` of its size and the disk keeps its reserve."""
        excess = 0
        if self._options.max_size is not None:
            excess = self._index.used_bytes() + extra - int(self._options.max_size * water)
        free, disk = self._blobs.free_space()
        return max(excess, self._options.reserve.room(disk) + extra - free)

    @contextlib.contextmanager
    def _only_collector(self, wait: bool) -> Iterator[bool]:
        try:
            lock = open_lock(self._blobs.root / "collect.lock")
        except OSError as error:
            raise StoreError(f"cannot collect in {self._blobs.root}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)


def _up_to(batch: Iterable[Candidate], excess: int) -> Iterator[Candidate]:
    """So many of them that this many bytes go."""
    for one in batch:
        if excess <= 0:
            return
        yield one
        excess -= one.freed
