"""What is stored: entries and the blobs they name, in SQLite."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from pyproxycache.messages import Entry
from pyproxycache.store.database import Database
from pyproxycache.store.rows import FIELDS, SELECT, entry_from, insert_entry, update_entry
from pyproxycache.store.variants import VaryValues, find_by_search, find_fitting, find_newest
from pyproxycache.store.versions import Stamp


@dataclass(frozen=True, slots=True)
class Usage:
    """What the index holds: bytes and number of blobs, number of entries."""

    bytes: int
    blobs: int
    entries: int


@dataclass(frozen=True, slots=True)
class Access:
    """An entry and how it was used: last access (epoch seconds) and number of hits."""

    entry: Entry
    accessed: float
    hits: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that may be evicted; `freed`: bytes of its blob, 0 where a later entry names it too."""

    id: int
    accessed: float
    freed: int


class Index:
    """Entries by key. Reads take the thread's connection, writes are one transaction each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self) -> None:
        """Open this thread's connection now rather than with its first look-up."""
        self.variants("", 1)

    def stamp(self, key: str) -> Stamp | None:
        """To be taken before a look-up whose result is to be kept; None where nothing may be kept."""
        return self._database.versions.stamp(key)

    def lookup(self, key: str, vary: VaryValues, search: str = "") -> list[Entry]:
        """What is stored for the key and the caller's values of what it varies on: whole or in parts.

        With `search`, the key without its query, also the 32 newest entries of other keys that can be
        found by it.
        """
        db = self._database.read()
        found = find_fitting(db, key, vary)
        return found + find_by_search(db, search, key, vary) if search else found

    def variants(self, key: str, limit: int) -> list[Entry]:
        """The newest whole responses of the key, whatever they vary on."""
        return find_newest(self._database.read(), key, limit)

    def freshen(self, entry: Entry) -> bool:
        """Put the head and times of a validated entry in place; False when that body is gone.

        Without an id the body is filed under this entry's variant as well, which the origin has said is
        the same: any entry of the key that names the body will do.
        """
        with self._database.write() as db:
            if entry.id == 0:
                if not db.execute(
                    "SELECT 1 FROM entries WHERE digest = ? AND key = ?", (entry.digest, entry.key)
                ).fetchone():
                    return False
                insert_entry(db, entry, entry.response_time)
                return True
            return update_entry(db, entry)

    def forget(self, entry: Entry) -> None:
        """Forget one entry, unless its row has another body by now."""
        with self._database.write() as db:
            db.execute("DELETE FROM entries WHERE id = ? AND digest = ?", (entry.id, entry.digest))

    def shorten(self, entry: Entry, ttl: float) -> None:
        """Give the entry a shorter time to live (seconds from its response time)."""
        with self._database.write() as db:
            db.execute("UPDATE entries SET ttl = ? WHERE id = ?", (ttl, entry.id))

    def purge(self, keys: Iterable[str]) -> int:
        """Forget the keys: their entries, and the claims of downloads that would bring them back."""
        count = 0
        with self._database.write() as db:
            for key in keys:
                count += db.execute("DELETE FROM entries WHERE key = ?", (key,)).rowcount
                self._database.claim_locks.begin_epoch(key)
                # A variant's flight key is its entry key, a space, and what it varies on.
                between = (key, f"{key} ", f"{key}!")
                db.execute("DELETE FROM flights WHERE key = ? OR (key >= ? AND key < ?)", between)
                db.execute("DELETE FROM not_storable WHERE key = ? OR (key >= ? AND key < ?)", between)
        return count

    def purge_group(self, name: str, origin: str | None) -> int:
        """Forget a cache group's entries, and the claims of downloads known to be in it (RFC 9875).

        `origin` is scheme and authority ("https://origin.example"); None means every origin.
        """
        grouped = "name = :name"
        flown = ":name IN (SELECT value FROM json_each(json_extract(entry, '$.groups')))"
        if origin is not None:
            grouped += " AND origin = :origin"
            flown += " AND substr(key, 1, length(:origin) + 1) = :origin || '/'"
        values = {"name": name, "origin": origin}
        with self._database.write() as db:
            for (key,) in db.execute(f"DELETE FROM flights WHERE {flown} RETURNING key", values).fetchall():
                self._database.claim_locks.begin_epoch(key)
            return db.execute(
                f"DELETE FROM entries WHERE id IN (SELECT entry FROM entry_groups WHERE {grouped})", values
            ).rowcount

    def keys(self, *, prefix: str = "", pattern: str = "*") -> list[str]:
        """All that can be purged, beginning with `prefix` and matching the glob `pattern`.

        Keys of entries, of running downloads, and of what is known as not storable.
        """
        rows = self._database.read().execute(
            "WITH flown AS (SELECT key FROM flights UNION SELECT key FROM not_storable),"
            " known AS (SELECT key FROM entries UNION"
            " SELECT iif(instr(key, ' '), substr(key, 1, instr(key, ' ') - 1), key) FROM flown)"
            " SELECT key FROM known WHERE substr(key, 1, length(?1)) = ?1 AND key GLOB ?2 ORDER BY key",
            (prefix, pattern),
        )
        return [row[0] for row in rows]

    def walk(self, pattern: str = "*") -> list[Access]:
        """All entries whose key matches the glob, least recently used first."""
        return self._accesses("key GLOB ? ORDER BY accessed, id", pattern)

    def accesses(self, key: str) -> list[Access]:
        """All entries of the key, the newest response first."""
        return self._accesses("key = ? ORDER BY response_time DESC, id DESC", key)

    def _accesses(self, condition: str, value: str) -> list[Access]:
        rows = self._database.read().execute(
            f"SELECT {FIELDS}, id, accessed, hits FROM entries WHERE {condition}", (value,)
        )
        return [Access(entry_from(row[:-2]), *row[-2:]) for row in rows]

    def touch(self, accesses: Mapping[int, tuple[float, int]], counters: Mapping[str, int]) -> None:
        """Write gathered accesses (entry id to last access and hits) and counter increments in one go."""
        with self._database.write() as db:
            db.executemany(
                "UPDATE entries SET accessed = max(accessed, ?), hits = hits + ? WHERE id = ?",
                [(accessed, hits, id) for id, (accessed, hits) in accesses.items()],
            )
            db.executemany(
                "INSERT INTO counters VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                list(counters.items()),
            )

    def counters(self) -> dict[str, int]:
        return dict(self._database.read().execute("SELECT name, value FROM counters"))

    def used_bytes(self) -> int:
        (size,) = self._database.read().execute("SELECT bytes FROM usage").fetchone()
        return int(size)

    def usage(self) -> Usage:
        db = self._database.read()
        size, blobs = db.execute("SELECT bytes, blobs FROM usage").fetchone()
        (entries,) = db.execute("SELECT count(*) FROM entries").fetchone()
        return Usage(size, blobs, entries)

    def instance(self) -> str:
        """A name for this cache that no other cache has, made at the first call."""
        with self._database.write() as db:
            db.execute("INSERT OR IGNORE INTO facts VALUES ('instance', ?)", (secrets.token_hex(4),))
            (name,) = db.execute("SELECT value FROM facts WHERE name = 'instance'").fetchone()
        return str(name)

    def fact(self, name: str) -> str | None:
        """What was noted under the name."""
        row = self._database.read().execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_fact(self, name: str, value: str) -> None:
        with self._database.write() as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def last_used(self, seconds: float) -> dict[str, int]:
        """Digest and size of the bodies stored or served up to so long before the last one."""
        rows = self._database.read().execute(
            "SELECT digest, size FROM entries WHERE accessed >= (SELECT max(accessed) FROM entries) - ?",
            (seconds,),
        )
        return dict(rows)

    # The steps by which space is made: rows first, then files that no row names.

    def oldest(self, after: Candidate | None, limit: int) -> list[Candidate]:
        """The least recently used entries, those next to `after` in that order."""
        rows = self._database.read().execute(
            "SELECT id, accessed, iif(EXISTS (SELECT 1 FROM entries AS other"
            " WHERE other.digest = entries.digest"
            " AND (other.accessed, other.id) > (entries.accessed, entries.id)), 0, size)"
            " FROM entries WHERE (accessed, id) > (?, ?) ORDER BY accessed, id LIMIT ?",
            (after.accessed, after.id, limit) if after else (-math.inf, 0, limit),
        )
        return [Candidate(*row) for row in rows]

    def evict(self, ids: Iterable[int], unlink: Callable[[str], None]) -> None:
        """Remove entries, and then, in a transaction of their own, the blobs that nothing names now."""
        digests: set[str] = set()
        with self._database.write() as db:
            for id in ids:
                digests.update(*db.execute("DELETE FROM entries WHERE id = ? RETURNING digest", (id,)))
        self._drop_blobs(digests, unlink)

    def drop_unnamed(self, unlink: Callable[[str], None], limit: int = 500) -> int:
        """Unlink blobs that no entry names; gives how many there were, `limit` at most."""
        unnamed = self._database.read().execute(
            "SELECT digest FROM blobs WHERE NOT EXISTS"
            " (SELECT 1 FROM entries WHERE entries.digest = blobs.digest) LIMIT ?",
            (limit,),
        )
        return self._drop_blobs([digest for (digest,) in unnamed], unlink)

    def _drop_blobs(self, digests: Collection[str], unlink: Callable[[str], None]) -> int:
        """Unlink those of the blobs that nothing names, as the write transaction sees it."""
        count = 0
        with self._database.write() as db:
            for digest in digests:
                if not db.execute("SELECT 1 FROM entries WHERE digest = ?", (digest,)).fetchone():
                    unlink(digest)
                    count += db.execute("DELETE FROM blobs WHERE digest = ?", (digest,)).rowcount
        return count

    def drop_strays(self, digests: Iterable[str], unlink: Callable[[str], None]) -> int:
        """Unlink those of the files that no blob row knows; gives how many there were."""
        count = 0
        with self._database.write() as db:
            for digest in digests:
                if not db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone():
                    unlink(digest)
                    count += 1
        return count

    def blob_sizes(self) -> dict[str, int]:
        return dict(self._database.read().execute("SELECT digest, size FROM blobs"))

    def unbacked(self) -> list[Entry]:
        """Entries whose digest has no blob row: none, unless the file was changed by hand."""
        rows = self._database.read().execute(
            f"{SELECT} WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = entries.digest)"
        )
        return [entry_from(row) for row in rows]

    def is_stray(self, digest: str) -> bool:
        """Whether no blob row knows the digest; waits for a commit that is under way."""
        with self._database.write() as db:
            return db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone() is None

    def drop_blob(self, digest: str, unlink: Callable[[str], None]) -> int:
        """Forget a damaged blob, its file and every entry that names it; gives the number of entries."""
        with self._database.write() as db:
            count = db.execute("DELETE FROM entries WHERE digest = ?", (digest,)).rowcount
            db.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
            unlink(digest)
        return count
