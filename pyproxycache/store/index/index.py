"""The stored entries by key: looked up, freshened, purged."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

from pyproxycache.messages import Entry
from pyproxycache.store.index.purging import purge_group, purge_keys, purge_matching
from pyproxycache.store.index.rows import NAMING, insert_entry, update_entry
from pyproxycache.store.index.variants import find_by_search, find_fitting, find_newest
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.priority import TOUCH
from pyproxycache.store.sqlite.short_transactions import in_short_transactions
from pyproxycache.store.values import Stamp, Usage, Uses, VaryValues


class Index:
    """The stored entries by key, in SQLite; changes of many entries are written in short transactions.

    Each method raises StoreError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def versions(self) -> memoryview:
        """The counter of each slot, shared with all processes and changed with every commit."""
        return self._database.versions.counters

    def stamp(self, key: str) -> Stamp | None:
        """The key's version, to be taken before a look-up whose result is kept; None during a commit."""
        return self._database.versions.stamp(key)

    def is_unknown(self, key: str, search: str) -> bool:
        """Whether nothing was ever stored under the key, nor found by `search`: no look-up is needed."""
        versions = self._database.versions
        return versions.is_untouched(key) and versions.is_untouched(search)

    def distrust_versions(self) -> None:
        """Change all versions, because after a power failure entries may be newer than their versions."""
        with self._database.write():
            self._database.versions.touch_all()

    def lookup(self, key: str, vary: VaryValues) -> list[Entry]:
        """The key's entries that fit the request's values: whole responses and parts, fresh or stale."""
        with self._database.read() as db:
            return find_fitting(db, key, vary)

    def search(self, search: str, but: str, vary: VaryValues) -> list[Entry]:
        """The 32 newest fitting entries of keys other than `but` that are `search` without their query."""
        with self._database.read() as db:
            return find_by_search(db, search, but, vary)

    def variants(self, key: str, limit: int) -> list[Entry]:
        """The key's newest whole responses (at most `limit`), whatever they vary on."""
        with self._database.read() as db:
            return find_newest(db, key, limit)

    def freshen(self, entry: Entry) -> bool:
        """Give a stored entry the head and times that a 304 brought; False if it is gone.

        An entry without an id is a further variant with the same body: it is stored if any entry of the key
        still names that body.
        """
        with self._database.write() as db:
            if entry.id == 0:
                if not db.execute(
                    f"SELECT 1 FROM entries WHERE id IN {NAMING} AND key = ?", (entry.digest, entry.key)
                ).fetchone():
                    return False
                insert_entry(db, entry, entry.response_time)
                return True
            return update_entry(db, entry)

    def forget(self, entry: Entry) -> None:
        """Remove one entry, unless it has another body by now."""
        with self._database.write() as db:
            db.execute("DELETE FROM entries WHERE id = ? AND digest = ?", (entry.id, entry.digest))

    def shorten(self, entry: Entry, ttl: float) -> None:
        """Give the entry a time to live of `ttl` seconds after its response."""
        with self._database.write() as db:
            db.execute("UPDATE entries SET ttl = ? WHERE id = ?", (ttl, entry.id))

    def purge(self, keys: Iterable[str]) -> int:
        """Remove all entries of the keys, and end their flights; gives the number of entries removed."""
        return purge_keys(self._database, keys)

    def purge_matching(self, *, prefix: str = "", pattern: str = "*") -> int:
        """Purge all keys that begin with `prefix` and match the glob `pattern`, as purge() does."""
        return purge_matching(self._database, pattern, prefix)

    def purge_group(self, name: str, origin: str | None) -> int:
        """Purge the entries and flights in a cache group (RFC 9875) of an origin, as purge() does.

        `origin` is scheme and authority ("https://origin.example"); None means every origin.
        """
        return purge_group(self._database, name, origin)

    def touch(self, accesses: Mapping[int, tuple[float, int]], counters: Mapping[str, int]) -> None:
        """Write accesses (entry id to last access, in epoch seconds, and hits) and counter increments."""
        touched = [
            {"id": id, "accessed": accessed, "hits": hits} for id, (accessed, hits) in accesses.items()
        ]
        in_short_transactions(
            self._database, touched, lambda db, some: db.executemany(TOUCH, some).rowcount
        )
        if counters:
            with self._database.write() as db:
                db.executemany(
                    "INSERT INTO counters VALUES (?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                    list(counters.items()),
                )

    def note_use(self, entry_id: int, now: float, times: int) -> None:
        """Let all processes know that an entry was used so many times, at last at `now` (epoch seconds)."""
        self._database.uses.note(entry_id, now, times)

    def uses(self, entry_id: int) -> Uses:
        """The uses of an entry that all processes have noted."""
        return self._database.uses.of(entry_id)

    def counters(self) -> dict[str, int]:
        """The counters of all requests since the store was made, by name."""
        return dict(self._database.rows("SELECT name, value FROM counters", (), tuple[str, int]))

    def used_bytes(self) -> int:
        """The bytes of all stored bodies."""
        return self.usage().bytes

    def settle(self) -> None:
        """Write SQLite's log back into the file, as far as Database.settle() finds it due."""
        self._database.settle()

    def usage(self) -> Usage:
        """What is stored now, in sum."""
        return Usage(*self._database.row("SELECT bytes, blobs, entries FROM usage", tuple[int, int, int]))

    def instance(self) -> str:
        """A name for this cache that no other cache has, made at the first call."""
        with self._database.write() as db:
            db.execute("INSERT OR IGNORE INTO facts VALUES ('instance', ?)", (secrets.token_hex(4),))
            (name,) = db.execute("SELECT value FROM facts WHERE name = 'instance'").fetchone()
        return str(name)

    def fact(self, name: str) -> str | None:
        """The fact of this name; None if there is none."""
        rows = self._database.select("SELECT value FROM facts WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def set_fact(self, name: str, value: str) -> None:
        """Store a fact, in place of the one of this name."""
        with self._database.write() as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
