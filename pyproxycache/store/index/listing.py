"""Lists what is stored, URL by URL, for people to read; some rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from pyproxycache.messages import Part
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.short_transactions import PAGE

AFTER = "accesses CROSS JOIN entries ON id = entry WHERE (accesses.accessed, entry) > (?, ?)"
"""The entries that were used after a time and an id."""
LAST_USED_LAST = "ORDER BY accesses.accessed, entry"
# A URL comes in the place of its last used entry, and that one is found out by asking for a later one.
_URLS = (
    "SELECT (SELECT json_array(sum(size), sum(hits), count(DISTINCT vary || char(10) || variant),"
    " sum(first_pos >= 0)) FROM entries AS every WHERE every.key = entries.key),"
    " key, status, first_pos, last_pos, complete_length, accesses.accessed, id"
    f" FROM {AFTER} AND key GLOB ? AND NOT EXISTS"
    " (SELECT 1 FROM entries AS later WHERE later.key = entries.key"
    " AND (later.accessed, later.id) > (entries.accessed, entries.id))"
    f" {LAST_USED_LAST} LIMIT {PAGE}"
)


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


def urls(database: Database, pattern: str) -> Iterator[Listed]:
    """The URLs that match the glob, the least recently used first; reads 1,000 at a time."""
    after = (-1.0, 0)
    while page := database.select(_URLS, (*after, pattern)):
        for sums, key, status, first, last, length, accessed, _id in page:
            part = Part(first, last, length) if first >= 0 else None
            yield Listed(key, status, part, accessed, *json.loads(sums))
        after = page[-1][-2:]
