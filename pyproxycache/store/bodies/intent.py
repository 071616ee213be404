"""The blobs that are being written and that no row names yet: known to whoever comes after their writer."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from pyproxycache.errors import StoreError
from pyproxycache.store.bodies.batches import MOST
from pyproxycache.store.files.locks import open_lock

_TOKEN, _DIGEST = 16, 64


class Intent:
    """A writer's token, and the digests of his blobs, in a mapped file, which outlives him.

    They stay after the rows are there: until the next writer looks whether they are. Guarded by the
    index's write lock.
    """

    def __init__(self, path: Path) -> None:
        size = 1 + _TOKEN + MOST * _DIGEST
        try:
            fd = open_lock(path)
            try:
                os.posix_fallocate(fd, 0, size)  # with room on the disk: a full one would show as SIGBUS
                self._map = mmap.mmap(fd, size)
            finally:
                os.close(fd)
        except OSError as error:
            raise StoreError(f"cannot use {path}: {error.strerror}") from error

    def begin(self, token: str) -> None:
        """No blob is being written; those that come are those of this writer (16 characters at most)."""
        self._map[: 1 + _TOKEN] = b"\0%-16b" % token.encode()

    def note(self, digest: str) -> None:
        """Note that the blob of this digest (sha256 in hex) is being written, and has no row yet."""
        count = self._map[0]
        place = 1 + _TOKEN + count * _DIGEST
        self._map[place : place + _DIGEST] = digest.encode()
        self._map[0] = count + 1

    def token(self) -> str:
        """The token of the last writer."""
        return self._map[1 : 1 + _TOKEN].rstrip(b" \0").decode()

    def noted(self) -> list[str]:
        """The digests of the last writer's blobs."""
        places = range(1 + _TOKEN, 1 + _TOKEN + self._map[0] * _DIGEST, _DIGEST)
        return [self._map[place : place + _DIGEST].decode() for place in places]
