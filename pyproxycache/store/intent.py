"""The blob that is being written and that no row names yet: known to whoever comes after its writer."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from pyproxycache.errors import StoreError
from pyproxycache.store.locks import open_lock

_DIGEST, _SIZE = 64, 80


class Intent:
    """A digest and its writer's token in a mapped file, which outlives him.

    It stays after the row is there: until the next writer looks whether it is. Guarded by the index's write
    lock.
    """

    def __init__(self, path: Path) -> None:
        try:
            fd = open_lock(path)
            try:
                os.posix_fallocate(fd, 0, _SIZE)  # with room on the disk: a full one would show as SIGBUS
                self._noted = mmap.mmap(fd, _SIZE)
            finally:
                os.close(fd)
        except OSError as error:
            raise StoreError(f"cannot use {path}: {error.strerror}") from error

    def note(self, digest: str, token: str) -> None:
        """The blob of this digest (sha256 in hex) comes into its place; `token`: 16 characters at most."""
        self._noted[:] = f"{digest}{token:16}".encode("ascii")

    def clear(self) -> None:
        """There is nothing to look for."""
        self._noted[0] = 0

    def noted(self) -> tuple[str, str] | None:
        """The digest of the blob that was written last, and its writer's token."""
        if not self._noted[0]:
            return None
        text = self._noted[:].decode("ascii")
        return text[:_DIGEST], text[_DIGEST:].rstrip()
