"""Removes entries and blobs to make room: rows first, then the files that no row names."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence

from pyproxycache.store.files.footprint import Footprint
from pyproxycache.store.index import eviction
from pyproxycache.store.index.eviction import Candidate
from pyproxycache.store.index.released import BlobFiles, drop_unnamed
from pyproxycache.store.sqlite.compaction import compact, page_bytes
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.short_transactions import in_short_transactions


class Removals:
    """The steps by which room is made in the index and on the disk; each raises StoreError.

    Many entries are removed in short transactions.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def footprint(self) -> Footprint:
        """What bodies and rows take of the disk; `arriving` is 0, as the index does not know that."""
        (allocated,) = self._database.row("SELECT allocated FROM usage", tuple[int])
        live, spare = page_bytes(self._database)
        return Footprint(allocated, live, spare=spare)

    def compact(self) -> None:
        """Give the index's empty pages back to the disk, and cut its log short."""
        compact(self._database)

    def refuse_endless_reader(self) -> None:
        """Raise StoreError while another program's long transaction makes the log grow without end."""
        self._database.refuse_endless_reader()

    def settling_at_once(self, at_once: bool = True) -> contextlib.AbstractContextManager[None]:
        """Have each settle() in the block write the log back: for a disk that has no room for a log."""
        return self._database.settling_at_once(at_once)

    def unused(self, since: float, after: Candidate | None, limit: int) -> list[Candidate]:
        """At most `limit` entries not asked for `since` (epoch seconds), the least recently used first.

        They come after the candidate `after` in that order (None: from the beginning).
        """
        with self._database.read() as db:
            return eviction.unused(db, since, after, limit)

    def least_worth(self, since: float, after: Candidate | None, limit: int) -> list[Candidate]:
        """At most `limit` entries that were asked for `since` (epoch seconds), the lowest priority first.

        They come after the candidate `after` in that order (None: from the beginning).
        """
        with self._database.read() as db:
            return eviction.least_worth(db, since, after, limit)

    def priority_of_new(self, size: int) -> float:
        """The priority of a new entry of `size` bytes that nobody has asked for before."""
        with self._database.read() as db:
            return eviction.priority_of_new(db, size)

    def evict(self, candidates: Sequence[Candidate]) -> dict[int, int]:
        """Remove the candidates, but no blobs, and give their ghosts for `add_ghosts`."""
        ghosts: dict[int, int] = {}

        def evict(db: sqlite3.Connection, some: Sequence[Candidate]) -> int:
            return eviction.evict(db, some, ghosts)

        in_short_transactions(self._database, candidates, evict)
        return ghosts

    def add_ghosts(self, ghosts: Mapping[int, int]) -> None:
        """Store ghosts (name to uses), the last ones, at most as many as there are blobs.

        Best done for many at a time; to lose some does no harm.
        """
        newest = list(ghosts.items())[-max(1, self._most_ghosts()) :]
        in_short_transactions(self._database, sorted(newest), eviction.add_ghosts)

    def drop_ghosts(self) -> None:
        """Forget the oldest ghosts until there are no more than blobs."""
        while in_short_transactions(self._database, [0], lambda db, _: eviction.drop_ghosts(db)):
            pass

    def drop_unnamed(self, files: BlobFiles) -> int:
        """Remove the blobs that no entry names, and their files; gives how many there were."""
        return drop_unnamed(self._database, files)

    def unlink_first(self, candidates: Sequence[Candidate], files: BlobFiles) -> None:
        """Remove the candidates' files before their rows, if the disk has no room to remove a row.

        An entry that stays has no body, and is forgotten at the next request for it.
        """
        statement = "SELECT digest FROM entries WHERE id = ?"
        with self._database.alone():
            for one in candidates:
                for (digest,) in self._database.select(statement, (one.id,)):
                    files.remove(digest)
        files.free_removed()

    def unlink_all(self, files: BlobFiles) -> None:
        """Remove the files of all blobs before their rows, if the disk has no room to remove a row."""
        with self._database.alone():
            files.remove_all()

    def _most_ghosts(self) -> int:
        (blobs,) = self._database.row("SELECT blobs FROM usage", tuple[int])
        return blobs
