"""The digests of the blobs that are being written and have no row yet, which outlive their writer."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from pyproxycache.errors import StoreError
from pyproxycache.store.bodies.batches import MOST
from pyproxycache.store.files.private import open_private

_TOKEN, _DIGEST = 16, 64


class Intent:
    """The last writer's token and the digests of its blobs, in a mapped file.

    They stay noted after the commit, until the next writer has looked whether their rows are there. Guarded
    by the index's write lock.
    """

    def __init__(self, path: Path) -> None:
        size = 1 + _TOKEN + MOST * _DIGEST
        try:
            fd = open_private(path)
            try:
                os.posix_fallocate(fd, 0, size)  # with room on the disk: a full one would show as SIGBUS
                self._map = mmap.mmap(fd, size)
            finally:
                os.close(fd)
        except OSError as error:
            raise StoreError(f"cannot use {path}: {error.strerror}") from error

    def begin(self, token: str) -> None:
        """Forget the digests; those noted from now on are of the writer with this token.

        The token has 16 ASCII characters at most.
        """
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
