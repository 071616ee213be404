"""Removes entries on a disk that has no byte left in which the index could note that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from pyproxycache.errors import NoSpace
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.index.index import Index
from pyproxycache.store.index.removals import Removals
from pyproxycache.store.upkeep.ballast import Ballast

# Bytes free on the disk with which the index's log has room for any removal.
_LOG_HAS_ROOM = 256 << 20


class FullDisk:
    """Has entries removed, on a full disk with the room of the ballast; each method raises StoreError."""

    def __init__(self, index: Index, removals: Removals, blobs: Blobs, ballast: Ballast) -> None:
        self._index = index
        self._removals = removals
        self._blobs = blobs
        self._ballast = ballast

    def forget(self, forget: Callable[[], int], unlink: Callable[[], None] | None = None) -> int:
        """Have `forget` remove entries and give their number, which is given on.

        If there is no room for that, not even with the ballast, `unlink` removes their files first.
        """
        before, is_short = self._index.usage().entries, self._blobs.disk().free < _LOG_HAS_ROOM
        with contextlib.suppress(NoSpace), self._removals.settling_at_once(is_short):
            return forget()
        self._ballast.release()
        with self._removals.settling_at_once():
            while True:
                held = self._index.usage()
                try:
                    self._removals.drop_unnamed(self._blobs)
                    forget()
                    return before - self._index.usage().entries
                except NoSpace:
                    if self._index.usage() != held:
                        continue  # some went, and others can go by the same room
                    if unlink is None:
                        raise
                    unlink()
                    unlink = None

    def restock(self, spare: int, capacity: int) -> None:
        """Make the ballast, in proportion to `capacity` (bytes), if the disk has enough to `spare`."""
        self._ballast.restock(spare, capacity)

    def compact(self) -> None:
        """Give the index's empty pages back to the disk."""
        try:
            self._removals.compact()
        except NoSpace:
            self._ballast.release()  # its room is for the log; the housekeeper makes it again
            self._removals.compact()
