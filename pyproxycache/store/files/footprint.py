"""What the cache takes of the disk, and what the disk has left."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from pyproxycache.options import Share

BLOCK = 4096
"""Bytes that a file's size is rounded up to on the disk."""

LARGEST_IN_INDEX = 16 << 10
"""Bytes of a body up to which a row costs less than a file: its name, its inode, and its last block."""

# What an empty index takes is not counted: nothing that goes makes it less.
_EMPTY_INDEX = 256 << 10
_FILES_IN_RESERVE = 1.0  # percent


LARGEST_LOG, _SMALLEST_LOG = 128 << 20, 2 << 20
_LOGS_SHARE = 32


def largest_log(max_size: int | None, disk: int) -> int:
    """Bytes of the index's log at which whoever commits shortens it, given the sizes of cache and disk."""
    max_size = disk if max_size is None else min(max_size, disk)
    return min(LARGEST_LOG, max(_SMALLEST_LOG, max_size // _LOGS_SHARE))


def room_beside_log(max_size: int) -> int:
    """Bytes of `max_size` that are left for all but the log; all of it in a cache of less than 64 MB."""
    log = 0 if max_size < _SMALLEST_LOG * _LOGS_SHARE else largest_log(max_size, max_size)
    return max_size - log


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that the cache takes of the disk: bodies in files, index pages in use, arriving bodies.

    `arriving_files` counts the files of those. `spare` are the index's empty pages, which can be given back
    to the disk.
    """

    bodies: int = 0
    index: int = 0
    arriving: int = 0
    arriving_files: int = 0
    spare: int = 0

    @property
    def counted_index(self) -> int:
        """Bytes of the index that its rows need: without what an empty index takes."""
        return max(0, self.index - _EMPTY_INDEX)

    @property
    def total(self) -> int:
        """Bytes that count against the size of the cache."""
        return self.bodies + self.counted_index + self.arriving


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system's bytes and files (inodes), free to us and in all; `files` is 0 if it has no limit."""

    free: int
    size: int
    free_files: int = 0
    files: int = 0

    @classmethod
    def of(cls, folder: Path) -> Disk:
        """The file system that the folder is on; raises OSError."""
        found = os.statvfs(folder)
        unit = found.f_frsize
        return cls(found.f_bavail * unit, found.f_blocks * unit, found.f_favail, found.f_files)

    def with_more(self, spare: int) -> Disk:
        """The disk's state with so many bytes more free."""
        return replace(self, free=self.free + spare)

    def missing(self, reserve: Share) -> int:
        """Bytes to be freed until the reserve is free; negative where more than the reserve is free."""
        return reserve.of(self.size) - self.free

    def missing_files(self, reserve: Share) -> int:
        """Files (inodes) to be freed until the reserve is free: 1 % of them if it is in bytes."""
        if not self.files:
            return 0
        return int((reserve.percent or _FILES_IN_RESERVE) / 100 * self.files) - self.free_files
