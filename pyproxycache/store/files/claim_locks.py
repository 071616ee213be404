"""Claims as locks on bytes of a file: they name their process, end with it, and need no transaction."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import weakref
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from pyproxycache.errors import StoreError
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.files.private import open_private
from pyproxycache.store.files.writing import as_store_error

_SLOTS = 1 << 12
_WORD = 8
_ALL = 0  # the slot that is every key's
# Locks lie behind what is mapped, each where a digest says.
_FIRST = 1 << 32
_FLOCK = struct.Struct("hhqqi4x")
_EPOCHS = struct.Struct("QQ")

# POSIX locks belong to the process, and closing any descriptor of the file would drop all of them: a
# process has one descriptor for each file, kept while anyone uses it. Guarded by `_opening`.
_files: weakref.WeakValueDictionary[tuple[int, Path], _LockFile] = weakref.WeakValueDictionary()
_opening = threading.Lock()


class _LockFile:
    """The file as this process has it open.

    `held` has the offsets that one of its threads has locked, or is about to. It is changed in single
    steps, without a lock, which all threads would wait for while one asks the kernel.
    """

    def __init__(self, path: Path) -> None:
        self.fd = open_private(path)
        try:
            # With room on the disk: a full one would show as SIGBUS.
            os.posix_fallocate(self.fd, 0, _SLOTS * _WORD)
            self.epochs = memoryview(mmap.mmap(self.fd, _SLOTS * _WORD)).cast("Q")
            found = os.fstat(self.fd)
        except BaseException:
            os.close(self.fd)
            raise
        self.name = f"{found.st_dev:x}-{found.st_ino:x}"
        self._pid = os.getpid()
        self.held: dict[int, object] = {}

    def __del__(self) -> None:
        # Of a parent's, closing it would drop the locks that this process has by its own descriptor.
        if getattr(self, "_pid", None) == os.getpid():
            os.close(self.fd)


class Place(NamedTuple):
    """Where a claim is locked: the byte's `offset`, the key's `slot`, and the epochs when it was made."""

    offset: int
    slot: int
    of_all: int
    of_key: int


NOWHERE = Place(0, 0, 0, 0)


class ClaimLocks:
    """Locks that tell which process leads a key; the kernel drops them when the process ends.

    A key's place, the byte to lock, depends on its epoch as well: after a new epoch has begun nobody finds
    the old claims any more, and the holder of one can tell that it is over.
    """

    def __init__(self, path: Path) -> None:
        try:
            with _opening:
                mine = (os.getpid(), path)
                file = _files.get(mine)
                if file is None:
                    file = _files[mine] = _LockFile(path)
        except OSError as error:
            raise as_store_error(f"cannot use the claims {path}", error) from error
        self._file = file
        self._epochs = file.epochs

    def address(self, pid: int) -> str:
        """The name of the Unix socket at which the process with this id tells followers of its flights."""
        return f"pyproxycache-{pid}-{self._file.name}"

    def place(self, key: FlightKey) -> Place:
        """The place at which a claim on the flight key is locked in the present epoch."""
        slot = _slot(key.cache_key)
        of_all, of_key = self._epochs[_ALL], self._epochs[slot]
        name, epochs = f"{key.cache_key} {key.variant}", _EPOCHS.pack(of_all, of_key)
        digest = blake2b(name.encode(), digest_size=8, key=epochs).digest()
        return Place(_FIRST + (int.from_bytes(digest, "little") >> 2), slot, of_all, of_key)

    def is_current(self, place: Place) -> bool:
        """Whether no purge has begun a new epoch since the claim was made at this place."""
        return self._epochs[place.slot] == place.of_key and self._epochs[_ALL] == place.of_all

    def take(self, place: Place) -> bool:
        """Lock the place; False where this or another process has it locked. Raises StoreError."""
        file, own = self._file, object()
        if file.held.setdefault(place.offset, own) is not own:
            return False
        is_taken = False
        try:
            fcntl.lockf(file.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place.offset)
            is_taken = True
        except (BlockingIOError, PermissionError):
            pass
        except OSError as error:
            raise StoreError(f"cannot lock a claim: {error.strerror}") from error
        finally:
            if not is_taken:
                del file.held[place.offset]
        return is_taken

    def release(self, place: Place) -> None:
        """Unlock the place, if this process has it locked."""
        file = self._file
        if place.offset in file.held:
            # Another thread that took it before it is unlocked would lose it by that.
            fcntl.lockf(file.fd, fcntl.LOCK_UN, 1, place.offset)
            file.held.pop(place.offset, None)

    def holder(self, place: Place) -> int | None:
        """The id of the process that has the place locked; None where none has. Raises StoreError."""
        file = self._file
        if place.offset in file.held:
            return os.getpid()
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place.offset, 1, 0)
        try:
            answer = fcntl.fcntl(file.fd, fcntl.F_GETLK, asked)
        except OSError as error:
            raise StoreError(f"cannot see who has a claim: {error.strerror}") from error
        kind, _whence, _start, _length, pid = _FLOCK.unpack(answer)
        return None if kind == fcntl.F_UNLCK else int(pid)

    def begin_epoch(self, key: str | None = None) -> None:
        """End the claims on the cache key, or all (with the index's write lock held)."""
        self._epochs[_ALL if key is None else _slot(key)] += 1


def _slot(key: str) -> int:
    return 1 + crc32(key.encode()) % (_SLOTS - 1)
