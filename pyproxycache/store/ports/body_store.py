"""The ports of whole bodies, and of the room that they take."""

from __future__ import annotations

from typing import Protocol

from pyproxycache.body import Body


class Bodies(Protocol):
    """The stored bodies, each by its sha256 (hex) and size."""

    def open(self, digest: str, size: int, start: int, stop: int) -> Body:
        """Read a whole stored body's bytes from `start` up to `stop`.

        Raises BodyGone where it was evicted, or where it is missing, of another size or has other bytes
        than were written: all that names it has been forgotten then, so that it is fetched again. Raises
        StoreError where it could not be tried. A large body's bytes are compared with the digest by the
        verifier alone.
        """


class Room(Protocol):
    """Decides whether a body may be stored, and evicts entries so that it fits."""

    def why_not_admitted(self, size: int, head_size: int = 0) -> str | None:
        """Why a body of `size` bytes may not be stored: "size" or "no-room"; None if it may.

        Room for it is made as it arrives. Evicts where the cache is over its size. Raises StoreError.
        """

    def allow(self, size: int, count: int) -> int:
        """Make room for `count` more bytes of a body that has `size`; gives up to which size it may grow.

        Waits for another collector's end, ten seconds at most. Raises NoSpace where no room can be made,
        with a text for the log, and StoreError.
        """

    def make_room(self, count: int) -> None:
        """Evict so much that `count` more bytes fit, after a write that found none. Raises StoreError."""
