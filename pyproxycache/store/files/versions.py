"""Versions of keys, shared by all processes: memory uses an answer while its key's version stays."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

from pyproxycache.store.files.private import open_private
from pyproxycache.store.files.writing import as_store_error
from pyproxycache.store.values import Stamp

_SLOTS = 1 << 19
_WORD = 8
# Slots that are no key's: whether a commit is under way, and whether all from before the file is in it.
_COMMITTING = 0
_READY = _SLOTS - 1


class Versions:
    """A mapped file of counters, each shared by many keys: a change of one is a change of all of them.

    The holder of the index's write lock writes it, everybody reads it without a lock. A counter is odd
    while a commit of one of its keys is under way, and stays odd if the writer dies in it, until the next
    commit.
    """

    def __init__(self, path: Path) -> None:
        try:
            fd = open_private(path)
            try:
                if os.fstat(fd).st_size < _SLOTS * _WORD:
                    # All of it: a page that the disk has no room for would be the end of the process.
                    os.posix_fallocate(fd, 0, _SLOTS * _WORD)
                self.counters = memoryview(mmap.mmap(fd, _SLOTS * _WORD)).cast("Q")
            finally:
                os.close(fd)
        except OSError as error:
            raise as_store_error(f"cannot use the versions {path}", error) from error

    def slot(self, key: str) -> int:
        """The index in `counters` of the key's version."""
        return 1 + crc32(key.encode()) % (_READY - 1)

    def stamp(self, key: str) -> Stamp | None:
        """The key's version, to be taken before a look-up; None while a commit of the key is under way."""
        slot = self.slot(key)
        version = self.counters[slot]
        return None if version & 1 else Stamp(slot, version)

    def is_untouched(self, key: str) -> bool:
        """Whether nothing was stored under the key since the file was made: its counter never moved."""
        return self.counters[self.slot(key)] == 0 and self.is_ready

    @property
    def is_ready(self) -> bool:
        """Whether the file has counted all that is stored, also what was stored before it was made."""
        return bool(self.counters[_READY])

    def begin_use(self, *, is_empty: bool) -> None:
        """Mark the file as ready, for an index that `is_empty` or not (with the write lock held)."""
        if not is_empty:
            self.touch_all()
        self.counters[_READY] = 1

    def touch_all(self) -> None:
        """Change all versions, because something was stored under an unknown key without being counted."""
        self.begin(range(1, _READY))
        self.end(range(1, _READY))

    def begin(self, slots: Iterable[int]) -> None:
        """Note that a commit to the keys of these slots begins (with the write lock held)."""
        counters = self.counters
        if counters[_COMMITTING]:
            self._mend()
        counters[_COMMITTING] = 1
        for slot in slots:
            counters[slot] |= 1

    def end(self, slots: Iterable[int]) -> None:
        """Note that the commit was done or rolled back (with the write lock held)."""
        counters = self.counters
        for slot in slots:
            counters[slot] += 1
        counters[_COMMITTING] = 0

    def _mend(self) -> None:
        """Change the versions that a dead writer left odd: its commit is over, done or not."""
        counters = self.counters
        for slot in range(1, _READY):
            if counters[slot] & 1:
                counters[slot] += 1
