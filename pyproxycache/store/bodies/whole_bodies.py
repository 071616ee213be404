"""Reads whole bodies, wherever they are: small ones in the index, all others in files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pyproxycache.body import Body, BytesBody
from pyproxycache.store.bodies.blobs import BlobReader, Blobs, Damaged
from pyproxycache.store.files.footprint import LARGEST_IN_INDEX
from pyproxycache.store.sqlite.database import Database

_CONTENT = "SELECT content FROM small_bodies WHERE place = (SELECT place FROM blobs WHERE digest = ?)"
_VERIFIED_AT_ONCE = 64 << 10
_MOST_VERIFIED = 1 << 16
_BLOCK = 1 << 20


class WholeBodies:
    """Reads whole bodies by digest and size.

    Each method raises FileNotFoundError if the body is gone, Damaged if it has another size or other bytes
    than were written, OSError if the disk does not give it, and StoreError if the index cannot be read.
    """

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs
        self._verified: set[str] = set()  # digests; changed in one step, without a lock

    def read(self, digest: str, size: int, start: int, stop: int) -> Body:
        """The body's bytes from `start` up to `stop`."""
        content = self._content(digest, size)
        if content is not None:
            return BytesBody(content[start:stop])
        return BlobReader(self._blobs.open(digest, size), start, stop)

    def read_verified(self, digest: str, size: int, start: int, stop: int) -> Body:
        """The body's bytes from `start` up to `stop`; one of up to 64 KB is verified at its first read."""
        if size > _VERIFIED_AT_ONCE or digest in self._verified:
            return self.read(digest, size, start, stop)
        content = self._content(digest, size)
        if content is not None:
            self._verify(digest, content)
            return BytesBody(content[start:stop])
        reader = BlobReader(self._blobs.open(digest, size), start, stop)
        try:
            self._verify(digest, reader.all(size))
        except BaseException:
            reader.close()
            raise
        return reader

    def check(self, digest: str, size: int) -> bool:
        """Whether the body's bytes have this digest; reads all of them."""
        content = self._content(digest, size)
        if content is not None:
            return hashlib.sha256(content).hexdigest() == digest
        fd = self._blobs.open(digest, size)
        try:
            found = hashlib.sha256()
            while block := os.read(fd, _BLOCK):
                found.update(block)
        finally:
            os.close(fd)
        return found.hexdigest() == digest

    def file(self, digest: str) -> Path:
        """The path of the file that has the body: its own, or the index."""
        rows = self._database.select("SELECT place IS NULL FROM blobs WHERE digest = ?", (digest,))
        return self._database.path if rows == [(0,)] else self._blobs.path(digest)

    def _content(self, digest: str, size: int) -> bytes | None:
        """The body out of the index; None where it has a file."""
        if size > LARGEST_IN_INDEX:
            return None
        rows = self._database.select(_CONTENT, (digest,))
        content: bytes | None = rows[0][0] if rows else None
        if rows and not isinstance(content, bytes):
            raise Damaged(f"the body {digest} is no bytes")
        if content is not None and len(content) != size:
            raise Damaged(f"the body {digest} has {len(content)} bytes instead of {size}")
        return content

    def _verify(self, digest: str, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != digest:
            raise Damaged(f"the body {digest} has other bytes than were written")
        if len(self._verified) >= _MOST_VERIFIED:
            self._verified.clear()
        self._verified.add(digest)
