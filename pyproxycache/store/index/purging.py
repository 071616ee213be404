"""Purges: first what would bring entries back is ended, then they are removed in short transactions."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence

from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.short_transactions import PAGE, in_short_transactions

_LAST = "\U0010ffff"


def purge_keys(database: Database, keys: Iterable[str]) -> int:
    """Remove the keys' entries, end their downloads, and forget that they are not storable.

    Gives the number of entries removed.
    """

    def purge(db: sqlite3.Connection, some: Sequence[str]) -> int:
        for key in some:
            database.claim_locks.begin_epoch(key)
        db.executemany("DELETE FROM flights WHERE cache_key = ?", [(key,) for key in some])
        _forget_refusals(db, some)
        return _purge_entries(db, some)

    return in_short_transactions(database, list(keys), purge)


def _purge_entries(db: sqlite3.Connection, keys: Sequence[str]) -> int:
    # All of a key's at once: while one is there, its body may be filed under other variants.
    return db.executemany("DELETE FROM entries WHERE key = ?", [(key,) for key in keys]).rowcount


def purge_matching(database: Database, pattern: str, prefix: str) -> int:
    """Purge all keys that begin with the prefix and match the glob, as purge_keys() does.

    What comes in while it runs may stay: its download has begun since.
    """
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    least = max(prefix, literal)  # where one does not begin with the other, nothing is found
    most = min(f"{prefix}{_LAST}", f"{literal}{_LAST}")
    with database.write() as db:
        # Downloads without a row are not told apart: those of other keys end without being stored, too.
        database.claim_locks.begin_epoch()
        db.execute(
            "DELETE FROM flights WHERE cache_key >= ? AND cache_key < ? AND cache_key GLOB ?",
            (least, most, pattern),
        )
    _each(database, "not_storable", "cache_key", (least, most, pattern), _forget_refusals)
    return _each(database, "entries", "key", (least, most, pattern), _purge_entries)


def _forget_refusals(db: sqlite3.Connection, keys: Sequence[str]) -> int:
    return db.executemany("DELETE FROM not_storable WHERE cache_key = ?", [(key,) for key in keys]).rowcount


def _each(
    database: Database,
    table: str,
    column: str,
    bounds: tuple[str, str, str],
    work: Callable[[sqlite3.Connection, Sequence[str]], int],
) -> int:
    """Do the work for all keys in the table's column from `least` up to `most` that match the pattern."""
    least, most, pattern = bounds
    statement = (
        f"SELECT DISTINCT {column} FROM {table} WHERE {column} >= ? AND {column} < ?"
        f" AND {column} GLOB ? ORDER BY {column} LIMIT {PAGE}"
    )
    count = 0
    while page := [key for (key,) in database.select(statement, (least, most, pattern))]:
        count += in_short_transactions(database, page, work)
        least = f"{page[-1]}\0"  # what comes next to it
    return count


def purge_group(database: Database, name: str, origin: str | None) -> int:
    """Remove the entries in a cache group, and end the downloads whose head is in it (RFC 9875).

    `origin` is scheme and authority ("https://origin.example"); None means every origin.
    """
    grouped, flown = "name = ?1", "?1 IN (SELECT value FROM json_each(json_extract(entry, '$.groups')))"
    if origin is not None:
        grouped += " AND origin = ?2"
        flown += " AND substr(cache_key, 1, length(?2) + 1) = ?2 || '/'"
    named = (name,) if origin is None else (name, origin)
    with database.write() as db:
        gone = db.execute(f"DELETE FROM flights WHERE {flown} RETURNING cache_key", named).fetchall()
        for (key,) in gone:
            database.claim_locks.begin_epoch(key)
    statement = f"SELECT name, origin, entry FROM entry_groups WHERE {grouped} LIMIT {PAGE}"
    count = 0
    # From the beginning each time: while an entry is there, its body may be filed under other variants.
    while page := database.select(statement, named):
        count += in_short_transactions(database, page, _purge_grouped)
    return count


def _purge_grouped(db: sqlite3.Connection, rows: Sequence[tuple[str, str, int]]) -> int:
    db.executemany("DELETE FROM entry_groups WHERE name = ? AND origin = ? AND entry = ?", rows)
    return db.executemany("DELETE FROM entries WHERE id = ?", [row[2:] for row in rows]).rowcount
