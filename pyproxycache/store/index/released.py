"""What removed entries leave behind: blobs that no other one names, their places by access and priority."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Protocol

from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.short_transactions import in_short_transactions

# Sorted, rows that are neighbours go together, and files of one folder.
_AT_ONCE = 50_000
_NEXT = "SELECT min(place) FROM released WHERE place > ? AND place <= ?"
_WITHIN = "released WHERE place >= ? AND place <= ?"
_OF_REMOVED = f"{_WITHIN} AND accessed IS NOT NULL"
_NAMED = f"SELECT DISTINCT digest, entry FROM {_WITHIN} ORDER BY digest, entry"
_ACCESSED = f"SELECT accessed, entry FROM {_OF_REMOVED} ORDER BY accessed, entry"
_RANKED = f"SELECT priority, accessed, entry FROM {_OF_REMOVED} ORDER BY priority, accessed, entry"

_FORGET_ACCESS = "DELETE FROM accesses WHERE accessed = ? AND entry = ?"
_FORGET_RANK = "DELETE FROM priorities WHERE priority = ? AND accessed = ? AND entry = ?"
# An entry may have come to name it again.
_FORGET_SHARER = (
    "DELETE FROM sharers WHERE digest = ? AND entry = ?"
    " AND NOT EXISTS (SELECT 1 FROM entries WHERE id = sharers.entry AND digest = sharers.digest)"
)
_UNNAMED = (
    "SELECT digest FROM blobs WHERE digest IN (SELECT value FROM json_each(?))"
    " AND NOT EXISTS (SELECT 1 FROM sharers WHERE sharers.digest = blobs.digest)"
    " AND NOT EXISTS (SELECT 1 FROM entries WHERE id = blobs.entry AND entries.digest = blobs.digest)"
)
_DROP = "DELETE FROM blobs WHERE digest IN (SELECT value FROM json_each(?)) RETURNING digest, place"


class BlobFiles(Protocol):
    """The files of blobs; they are removed in write transactions, for a commit may name an equal body."""

    def remove(self, digest: str) -> None:
        """Remove the name of the blob's file; the bytes of a large one stay until `free_removed`."""

    def remove_all(self) -> None:
        """Remove the files of all blobs, with their bytes."""

    def free_removed(self) -> None:
        """Give the disk the bytes of the removed files; it takes long, so no lock is to be held."""


def drop_unnamed(database: Database, files: BlobFiles) -> int:
    """Remove the blobs that no entry names, as far as `released` has them; gives how many there were."""

    def drop(db: sqlite3.Connection, released: Sequence[tuple[str, int | None]]) -> int:
        db.executemany(_FORGET_SHARER, released)
        digests = json.dumps(list(dict(released)))
        return drop_blobs(db, [digest for (digest,) in db.execute(_UNNAMED, (digests,)).fetchall()], files)

    def forget(db: sqlite3.Connection, places: Sequence[int]) -> int:
        return db.execute(f"DELETE FROM {_WITHIN}", (places[0], places[-1])).rowcount

    count = done = 0
    ((last,),) = database.select("SELECT max(place) FROM released")
    while (first := database.select(_NEXT, (done, last))[0][0]) is not None:
        done = min(first + _AT_ONCE - 1, last)
        named = database.rows(_NAMED, (first, done), tuple[str, int | None])
        count += in_short_transactions(database, named, drop, between=files.free_removed)
        for found, statement in ((_ACCESSED, _FORGET_ACCESS), (_RANKED, _FORGET_RANK)):
            _forget(database, statement, database.select(found, (first, done)))
        # Only now: were it killed before, the next one would look at all of them again.
        in_short_transactions(database, range(first, done + 1), forget)
    return count


def _forget(database: Database, statement: str, places: Sequence[Sequence[float]]) -> None:
    in_short_transactions(database, places, lambda db, some: db.executemany(statement, some).rowcount)


def drop_blobs(db: sqlite3.Connection, digests: Sequence[str], files: BlobFiles) -> int:
    """Forget bodies, and remove their files, if they have any; gives how many there were."""
    gone = dict(db.execute(_DROP, (json.dumps(digests),)).fetchall())
    for digest in digests:
        if gone.get(digest) is None:
            files.remove(digest)
    return len(gone)
