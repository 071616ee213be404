"""Lists what is stored, URL by URL, for people to read; some rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyproxycache.messages import Entry, Part
from pyproxycache.store.index.rows import FIELDS, NAMING, entry_from
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.short_transactions import PAGE

_AFTER = "accesses CROSS JOIN entries ON id = entry WHERE (accesses.accessed, entry) > (?, ?)"
"""The entries that were used after a time and an id."""
_LAST_USED_LAST = "ORDER BY accesses.accessed, entry"
_PINNED = "EXISTS (SELECT 1 FROM pins WHERE pins.key = entries.key)"
_ACCESS = f"SELECT {FIELDS}, id, entries.accessed, hits, {_PINNED} FROM"
_OF_KEY = f"{_ACCESS} entries WHERE key = ? ORDER BY response_time DESC, id DESC"
_NEXT_USED = f"{_ACCESS} {_AFTER} AND key GLOB ? {_LAST_USED_LAST} LIMIT ?"
# A URL comes in the place of its last used entry, and that one is found out by asking for a later one.
_URLS = (
    "SELECT (SELECT json_array(sum(size), sum(hits), count(DISTINCT vary || char(10) || variant),"
    " sum(first_pos >= 0)) FROM entries AS every WHERE every.key = entries.key),"
    f" key, {_PINNED}, status, first_pos, last_pos, complete_length, accesses.accessed, id"
    f" FROM {_AFTER} AND key GLOB ? AND NOT EXISTS"
    " (SELECT 1 FROM entries AS later WHERE later.key = entries.key"
    " AND (later.accessed, later.id) > (entries.accessed, entries.id))"
    f" {_LAST_USED_LAST} LIMIT {PAGE}"
)


@dataclass(frozen=True, slots=True)
class AccessNote:
    """An entry and how it was used: last access (epoch seconds) and number of hits.

    `is_pinned`: it stays, whatever room is needed.
    """

    entry: Entry
    accessed: float
    hits: int
    is_pinned: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A URL's entries in sum: bytes (`size`), hits, and the numbers of variants and of parts.

    `status` and `part` are those of the entry that was used last, at the time `accessed` (epoch seconds).
    """

    key: str
    status: int
    part: Part | None
    accessed: float
    size: int
    hits: int
    variants: int
    parts: int
    is_pinned: bool


class Listing:
    """Lists entries and URLs, for commands; each method raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def walk(self, pattern: str = "*") -> Iterator[AccessNote]:
        """All entries whose key matches the glob, least recently used first; reads 1,000 at a time."""
        after = (-1.0, 0)
        while page := self._accesses(_NEXT_USED, (*after, pattern, PAGE)):
            yield from page
            after = (page[-1].accessed, page[-1].entry.id)

    def urls(self, pattern: str = "*") -> Iterator[Listed]:
        """The URLs that match the glob and have entries, least recently used first."""
        after = (-1.0, 0)
        while page := self._database.select(_URLS, (*after, pattern)):
            for sums, key, pinned, status, first, last, length, accessed, _id in page:
                part = Part(first, last, length) if first >= 0 else None
                size, hits, variants, parts = json.loads(sums)
                yield Listed(key, status, part, accessed, size, hits, variants, parts, bool(pinned))
            after = page[-1][-2:]

    def accesses(self, key: str) -> list[AccessNote]:
        """All entries of the key, the newest response first."""
        return self._accesses(_OF_KEY, (key,))

    def _accesses(self, statement: str, values: tuple[Any, ...]) -> list[AccessNote]:
        with self._database.read() as db:
            rows = db.execute(statement, values).fetchall()
            return [
                AccessNote(entry_from(values), accessed, hits, bool(pinned))
                for *values, accessed, hits, pinned in rows
            ]

    def urls_of(self, digest: str) -> list[str]:
        """The keys of the entries that have this body, in order."""
        rows = self._database.select(
            f"SELECT DISTINCT key FROM entries WHERE id IN {NAMING} ORDER BY key", (digest,)
        )
        return [key for (key,) in rows]
