"""Pins: keys whose entries stay, whatever room is needed, and however long nobody asks for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.short_transactions import PAGE, in_short_transactions


class Pins:
    """The pinned keys, of which some may have no entry yet; each method raises StoreError.

    A purge removes pinned entries, too, and leaves their pins.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def pin(self, keys: Iterable[str], now: float) -> int:
        """Pin the keys at the time `now` (epoch seconds); gives how many were not pinned."""

        def pin(db: sqlite3.Connection, some: Sequence[str]) -> int:
            rows = [(key, now) for key in some]
            return db.executemany("INSERT OR IGNORE INTO pins (key, since) VALUES (?, ?)", rows).rowcount

        return in_short_transactions(self._database, list(keys), pin)

    def pin_matching(self, pattern: str, now: float) -> int:
        """Pin the keys that have entries now and match the glob; gives how many were not pinned."""
        count, after = 0, ""
        while page := self._page("entries", pattern, after):
            count += self.pin(page, now)
            after = page[-1]
        return count

    def unpin(self, keys: Iterable[str]) -> int:
        """Take the keys' pins away; gives how many there were."""

        def unpin(db: sqlite3.Connection, some: Sequence[str]) -> int:
            return db.executemany("DELETE FROM pins WHERE key = ?", [(key,) for key in some]).rowcount

        return in_short_transactions(self._database, list(keys), unpin)

    def unpin_matching(self, pattern: str) -> int:
        """Take the pins of all keys that match the glob away; gives how many there were."""
        count, after = 0, ""
        while page := self._page("pins", pattern, after):
            count += self.unpin(page)
            after = page[-1]
        return count

    def _page(self, table: str, pattern: str, after: str) -> list[str]:
        statement = (
            f"SELECT DISTINCT key FROM {table} WHERE key > ? AND key GLOB ? ORDER BY key LIMIT {PAGE}"
        )
        return [key for (key,) in self._database.select(statement, (after, pattern))]
