"""When entries were used last and how often, shared by all processes without a write to the index."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from pyproxycache.store.files.private import open_private
from pyproxycache.store.files.writing import as_store_error
from pyproxycache.store.values import Uses

_SLOTS = 1 << 16
_WORDS = 2
_SIZE = _SLOTS * _WORDS * 8
# A word has whose it is above, and the time in milliseconds or the count below.
_BITS = 42
_LOW = (1 << _BITS) - 1
_OWNERS = (1 << (64 - _BITS)) - 1
_MILLISECONDS = 1000


class LastUses:
    """A mapped file with two words for an entry: the time of its last use, and the count of its uses.

    Everybody reads and writes it without a lock, one word at a time. Entries that share a slot take it from
    each other, so that of the one before nothing is known any more; and of two processes that count at the
    same instant, one may not be counted. Both only make an entry look less used than it is.
    """

    def __init__(self, path: Path) -> None:
        try:
            fd = open_private(path)
            try:
                if os.fstat(fd).st_size < _SIZE:
                    # All of it: a page that the disk has no room for would be the end of the process.
                    os.posix_fallocate(fd, 0, _SIZE)
                self._words = memoryview(mmap.mmap(fd, _SIZE)).cast("Q")
            finally:
                os.close(fd)
        except OSError as error:
            raise as_store_error(f"cannot use the times of uses {path}", error) from error

    def note(self, entry_id: int, now: float, times: int) -> None:
        """Note that an entry was used so many times, at last at `now` (epoch seconds)."""
        words, place = self._words, entry_id % _SLOTS * _WORDS
        owner = _owner(entry_id) << _BITS
        words[place] = owner | (int(now * _MILLISECONDS) + 1 & _LOW)
        before = words[place + 1]
        count = before & _LOW if before & ~_LOW == owner else 0
        words[place + 1] = owner | (count + times & _LOW)

    def of(self, entry_id: int) -> Uses:
        """The uses of an entry, as far as they are known."""
        words, place = self._words, entry_id % _SLOTS * _WORDS
        owner = _owner(entry_id) << _BITS
        last, count = words[place], words[place + 1]
        return Uses(
            (last & _LOW) / _MILLISECONDS if last & ~_LOW == owner else 0.0,
            count & _LOW if count & ~_LOW == owner else 0,
        )


def _owner(entry_id: int) -> int:
    """Which of the entries of a slot it is; never 0, which is in words that nobody has written."""
    return 1 + entry_id // _SLOTS % _OWNERS
