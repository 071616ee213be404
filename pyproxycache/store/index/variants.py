"""Finds the fitting variants of a key by SQLite's indexes alone, however many variants there are."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from pyproxycache.messages import Entry
from pyproxycache.store.index.rows import SELECT, entry_from, names_from, variant_text
from pyproxycache.store.values import VaryValues

_NEWEST = "ORDER BY response_time DESC, id DESC LIMIT"
_FEW = 8
_MOST_BY_SEARCH = 32
_MOST_SETS = 32
"""Vary sets of one key that are looked at: an origin that always says another one gains nothing by it."""

# There is one at most that varies on nothing: only the others are in an index by time.
_WHOLE = f"{SELECT} WHERE key = ?1 AND first_pos < 0"
_NEWEST_OF_KEY = (
    f"SELECT * FROM ({_WHOLE} AND vary = '' AND variant = '')"
    f" UNION ALL SELECT * FROM ({_WHOLE} AND vary != '' {_NEWEST} ?2) {_NEWEST} ?2"
)


@dataclass(frozen=True, slots=True)
class _Queries:
    """The statements of a look-up: `few` gives the first 8 rows, which are all if they are fewer.

    Otherwise `sets` gives the field names of each Vary set, and `variant` the rows with a set's values.
    """

    few: str
    sets: str
    variant: str


def _queries(column: str, order: str = "") -> _Queries:
    # Each step of the recursion jumps to the next set in the index.
    first = f"SELECT min(vary) FROM entries WHERE {column} = ?1"
    return _Queries(
        few=f"{SELECT} WHERE {column} = ? LIMIT {_FEW}",
        sets=f"WITH RECURSIVE sets (names) AS ({first} UNION ALL"
        f" SELECT ({first} AND vary > names) FROM sets WHERE names IS NOT NULL)"
        f" SELECT names FROM sets WHERE names IS NOT NULL LIMIT {_MOST_SETS}",
        variant=f"{SELECT} WHERE {column} = ? AND vary = ? AND variant = ? {order}",
    )


_BY_KEY = _queries("key")
_BY_SEARCH = _queries("search", f"{_NEWEST} {_MOST_BY_SEARCH}")


def find_fitting(db: sqlite3.Connection, key: str, vary: VaryValues) -> list[Entry]:
    """The key's entries whose Vary set has the request's values, which `vary` gives."""
    return [entry_from(row) for row in _rows(db, _BY_KEY, key, vary)]


def find_by_search(db: sqlite3.Connection, search: str, but: str, vary: VaryValues) -> list[Entry]:
    """The newest fitting entries of keys other than `but` that share the key without its query."""
    found = [entry_from(row) for row in _rows(db, _BY_SEARCH, search, vary)]
    found.sort(key=lambda entry: entry.response_time, reverse=True)
    return [entry for entry in found if entry.key != but][:_MOST_BY_SEARCH]


def _rows(db: sqlite3.Connection, queries: _Queries, value: str, vary: VaryValues) -> list[tuple[Any, ...]]:
    rows = db.execute(queries.few, (value,)).fetchall()
    if len(rows) < _FEW:
        return [row for row in rows if row[2] == variant_text(vary(names_from(row[1])))]
    rows = []
    for (names,) in db.execute(queries.sets, (value,)).fetchall():
        rows += db.execute(queries.variant, (value, names, variant_text(vary(names_from(names)))))
    return rows


def find_newest(db: sqlite3.Connection, key: str, limit: int) -> list[Entry]:
    """The key's newest whole responses, whatever they vary on."""
    return [entry_from(row) for row in db.execute(_NEWEST_OF_KEY, (key, limit)).fetchall()]
