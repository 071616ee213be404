"""What is stored: entries and the blobs they name, in SQLite."""

from __future__ import annotations

import json
import math
import secrets
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.store.database import Database

_FIELDS = "key, vary, status, reason, headers, request_time, response_time, digest, size, ttl, peer"
_SELECT = f"SELECT {_FIELDS}, id FROM entries"


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
        self.lookup("")

    def lookup(self, key: str) -> list[Entry]:
        """All stored variants of the key."""
        rows = self._database.read().execute(f"{_SELECT} WHERE key = ?", (key,))
        return [entry_from(row) for row in rows]

    def freshen(self, entry: Entry) -> bool:
        """Put the head and times of a validated entry in place; False when that body is gone."""
        with self._database.write() as db:
            changed = db.execute(
                "UPDATE entries SET status = ?, reason = ?, headers = ?, request_time = ?,"
                " response_time = ?, ttl = ? WHERE id = ? AND digest = ?",
                (
                    entry.status,
                    entry.head.reason,
                    json.dumps(entry.headers.fields),
                    entry.request_time,
                    entry.response_time,
                    entry.ttl,
                    entry.id,
                    entry.digest,
                ),
            )
            return changed.rowcount == 1

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
                # A variant's flight key is its entry key, a space, and what it varies on.
                between = (key, f"{key} ", f"{key}!")
                db.execute("DELETE FROM flights WHERE key = ? OR (key >= ? AND key < ?)", between)
                db.execute("DELETE FROM not_storable WHERE key = ? OR (key >= ? AND key < ?)", between)
        return count

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

    def walk(self, pattern: str = "*") -> Iterator[Access]:
        """All entries whose key matches the glob, least recently used first."""
        rows = self._database.read().execute(
            f"SELECT {_FIELDS}, id, accessed, hits FROM entries WHERE key GLOB ? ORDER BY accessed, id",
            (pattern,),
        )
        # Fetched at once: an open cursor would show this thread's other reads its own moment.
        for row in rows.fetchall():
            yield Access(entry_from(row), row[12], row[13])

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
            f"{_SELECT} WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = entries.digest)"
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


def insert_entry(db: sqlite3.Connection, entry: Entry, now: float) -> int:
    """Put an entry and its blob's row in place (in the caller's transaction); gives the entry's id."""
    db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (entry.digest, entry.size))
    (id,) = db.execute(
        f"INSERT INTO entries ({_FIELDS}, accessed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (key, vary) DO UPDATE SET status = excluded.status, reason = excluded.reason,"
        " headers = excluded.headers, request_time = excluded.request_time,"
        " response_time = excluded.response_time, digest = excluded.digest, size = excluded.size,"
        " ttl = excluded.ttl, peer = excluded.peer, accessed = excluded.accessed RETURNING id",
        (*row_of(entry), now),
    ).fetchone()
    return int(id)


def row_of(entry: Entry) -> tuple[Any, ...]:
    """The entry as column values, in the order of `_FIELDS`."""
    return (
        entry.key,
        json.dumps(entry.vary),
        entry.status,
        entry.head.reason,
        json.dumps(entry.headers.fields),
        entry.request_time,
        entry.response_time,
        entry.digest,
        entry.size,
        entry.ttl,
        entry.peer,
    )


def entry_from(row: Sequence[Any]) -> Entry:
    """The entry that `row_of` took apart; a twelfth value is its id."""
    key, vary, status, reason, headers, request_time, response_time, digest, size, ttl, peer, *id = row
    return Entry(
        key=key,
        head=Head(status, reason, Headers((name, value) for name, value in json.loads(headers))),
        request_time=request_time,
        response_time=response_time,
        vary=tuple((name, value) for name, value in json.loads(vary)),
        digest=digest,
        size=size,
        ttl=ttl,
        peer=peer,
        id=id[0] if id else 0,
    )
