"""Removes what dead writers left and no successor continues."""

from __future__ import annotations

import contextlib

from pyproxycache import clock
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.bodies.commits import Commits
from pyproxycache.store.bodies.partial import Partial
from pyproxycache.store.flights import flight_rows
from pyproxycache.store.sqlite.database import Database


class Sweep:
    """Removes leftovers of flights, file by file; each method raises StoreError."""

    def __init__(self, database: Database, blobs: Blobs, commits: Commits) -> None:
        self._database = database
        self._blobs = blobs
        self._commits = commits

    def forget_expired(self, now: float) -> None:
        """Forget which keys were not storable until a time before `now` (epoch seconds)."""
        with self._database.write() as db:
            flight_rows.lift_expired(db, now)

    def remove_files(self, *, unused_since: float) -> int:
        """Remove the files that dead leaders left; gives how many went.

        A partial file without a row, or not written since `unused_since` (epoch seconds), has no successor
        to expect. The leader of one with a second name died between naming the blob and committing the row:
        the blob goes as well, unless a row names it.
        """
        self._commits.remove_unfinished()
        count = 0
        for name in list(self._blobs.partial_tokens()):
            with contextlib.suppress(FileNotFoundError):
                count += self._remove_file(name, unused_since)
        return count

    def _remove_file(self, name: str, unused_since: float) -> int:
        with self._database.write() as db:
            file = Partial.take_over(self._blobs.partial_path(name))
            if file is None:
                return 0
            is_fresh = not file.is_blob and file.last_written(clock.wall()) >= unused_since
            if is_fresh and flight_rows.has_file(db, name):
                return 0
            flight_rows.remove_of_file(db, name)
        # No row leads to the file any more and it is locked: hashing it keeps nobody waiting.
        if file.is_blob:
            self._commits.remove_unnamed(file.digest())
        file.discard()
        return 1
