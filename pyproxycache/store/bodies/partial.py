"""The file of a body that is arriving."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pyproxycache.body import FileSlice
from pyproxycache.net.descriptors import make_sure_of
from pyproxycache.store.files.writing import as_store_error, as_store_errors, write_all

_FOR_A_BODY = 2  # descriptors: to write, and to read


class Partial:
    """A growing body file, locked (flock) for as long as its writer lives.

    The kernel drops the lock with the process, so whoever gets the lock knows that the former
    writer is dead. Only the flight's leader thread writes. The file is closed with the object.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.size = os.fstat(fd).st_size
        self._fd = fd
        self._hash: hashlib._Hash | None = None if self.size else hashlib.sha256()

    @classmethod
    def create(cls, path: Path) -> Partial:
        """A new, empty, locked file; raises StoreError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with as_store_errors(path):
            make_sure_of(_FOR_A_BODY)
            try:
                fd = os.open(path, flags, 0o600)
            except FileNotFoundError:
                path.parent.mkdir(exist_ok=True, mode=0o700)
                fd = os.open(path, flags, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                path.unlink(missing_ok=True)
                raise
        return cls(path, fd)

    @classmethod
    def take_over(cls, path: Path) -> Partial | None:
        """Open and lock the file of a dead writer; None while its writer lives.

        Raises FileNotFoundError if there is no such file, StoreError if it cannot be opened or locked.
        """
        fd = -1
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            raise
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            if isinstance(error, BlockingIOError):
                return None
            raise as_store_error(path, error) from error
        return cls(path, fd)

    @property
    def is_blob(self) -> bool:
        """Whether the file has a digest's name as well, and must not change any more."""
        return os.fstat(self._fd).st_nlink > 1

    def last_written(self, now: float) -> float:
        """When the file was last written to (epoch seconds), but not later than `now`.

        A later time, which a wrong clock has left, is set to `now`, so that the file grows old from there.
        """
        noted = os.fstat(self._fd).st_mtime
        if noted > now:
            os.utime(self._fd, (now, now))
        return min(noted, now)

    def open_reader(self) -> int:
        """A descriptor for readers, which does not hold the lock; raises StoreError."""
        with as_store_errors(self.path):
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def write(self, data: bytes) -> None:
        """Append `data`, or nothing: raises NoSpace if the disk is full, StoreError or OSError else."""
        if self._hash is None:
            self._hash = self._rehash()
        with as_store_errors(self.path):
            write_all(self._fd, data, self.size)
        self._hash.update(data)
        self.size += len(data)

    def digest(self) -> str:
        """The sha256 of what was written so far, in hex."""
        return self.sha256().hexdigest()

    def sha256(self) -> hashlib._Hash:
        """A copy of the hash of what was written so far, to continue elsewhere."""
        if self._hash is None:
            self._hash = self._rehash()
        return self._hash.copy()

    def _rehash(self) -> hashlib._Hash:
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest

    def blocks(self) -> Iterator[bytes]:
        """What was written so far, read back; raises OSError, also if somebody has cut the file short."""
        return FileSlice(self._fd, 0, self.size).blocks()

    def content(self) -> bytes:
        """All that was written so far, in memory; raises StoreError if it cannot be read."""
        with as_store_errors(self.path):
            return b"".join(self.blocks())

    def release(self) -> None:
        """Close the file and so unlock it, for whoever takes it over."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Remove the file's own name and close it; a blob made of it stays.

        Raises nothing: a name that cannot be removed is left to the sweep.
        """
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        self.release()

    def __del__(self) -> None:
        self.release()
