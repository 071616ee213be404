"""Removes blobs that no entry names any more."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence

from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.short_transactions import in_short_transactions

# By digest, rows that are neighbours go together, and files of one folder.
_AT_ONCE = 50_000
_NEXT = "SELECT min(place) FROM released WHERE place > ? AND place <= ?"
_WITHIN = "released WHERE place >= ? AND place <= ?"
_DROP = (
    "DELETE FROM blobs WHERE digest IN (SELECT value FROM json_each(?)) RETURNING digest, content IS NULL"
)
_UNNAMED = (
    "SELECT value FROM json_each(?)"
    " WHERE NOT EXISTS (SELECT 1 FROM entries WHERE entries.digest = json_each.value)"
)


def drop_unnamed(database: Database, unlink: Callable[[str], None]) -> int:
    """Unlink blobs that no entry names, as far as it is noted by now; gives how many there were."""

    def drop(db: sqlite3.Connection, digests: Sequence[str]) -> int:
        # Another entry may name it, or has come to name it since.
        unnamed = db.execute(_UNNAMED, (json.dumps(digests),)).fetchall()
        return drop_blobs(db, [digest for (digest,) in unnamed], unlink)

    def forget(db: sqlite3.Connection, places: Sequence[int]) -> int:
        return db.execute(f"DELETE FROM {_WITHIN}", (places[0], places[-1])).rowcount

    count = done = 0
    ((last,),) = database.select("SELECT max(place) FROM released")
    while (first := database.select(_NEXT, (done, last))[0][0]) is not None:
        done = min(first + _AT_ONCE - 1, last)
        found = database.select(f"SELECT DISTINCT digest FROM {_WITHIN} ORDER BY digest", (first, done))
        count += in_short_transactions(database, [digest for (digest,) in found], drop)
        # Only now: were it killed before, the next one would look at all of them again.
        in_short_transactions(database, range(first, done + 1), forget)
    return count


def drop_blobs(db: sqlite3.Connection, digests: Sequence[str], unlink: Callable[[str], None]) -> int:
    """Forget bodies, and unlink their files, if they have any; gives how many there were."""
    gone = dict(db.execute(_DROP, (json.dumps(digests),)).fetchall())
    for digest in digests:
        if gone.get(digest, True):
            unlink(digest)
    return len(gone)
