"""What is stored: entries and the blobs they name, in SQLite."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyproxycache.messages import Entry
from pyproxycache.store.files.footprint import Footprint
from pyproxycache.store.index import eviction
from pyproxycache.store.index.eviction import Candidate
from pyproxycache.store.index.listing import AFTER, LAST_USED_LAST, Listed, urls
from pyproxycache.store.index.purging import purge_group, purge_keys, purge_matching
from pyproxycache.store.index.released import BlobFiles, drop_blobs, drop_unnamed
from pyproxycache.store.index.rows import FIELDS, SELECT, entry_from, insert_entry, update_entry
from pyproxycache.store.index.variants import find_by_search, find_fitting, find_newest
from pyproxycache.store.sqlite.compaction import compact, page_bytes
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.priority import TOUCH
from pyproxycache.store.sqlite.short_transactions import PAGE, in_short_transactions
from pyproxycache.store.values import Stamp, Usage, VaryValues

_ACCESS = f"SELECT {FIELDS}, id, entries.accessed, hits FROM"
_OF_KEY = f"{_ACCESS} entries WHERE key = ? ORDER BY response_time DESC, id DESC"
_NEXT_USED = f"{_ACCESS} {AFTER} AND key GLOB ? {LAST_USED_LAST} LIMIT ?"
_HAS_FILE = "SELECT 1 FROM blobs WHERE digest = ? AND place IS NULL"
_NAMING = "(SELECT entry FROM naming WHERE digest = ?)"


@dataclass(frozen=True, slots=True)
class AccessNote:
    """An entry and how it was used: last access (epoch seconds) and number of hits."""

    entry: Entry
    accessed: float
    hits: int


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
                    f"SELECT 1 FROM entries WHERE id IN {_NAMING} AND key = ?", (entry.digest, entry.key)
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

    def walk(self, pattern: str = "*") -> Iterator[AccessNote]:
        """All entries whose key matches the glob, least recently used first; reads 1,000 at a time."""
        after = (-1.0, 0)
        while page := self._accesses(_NEXT_USED, (*after, pattern, PAGE)):
            yield from page
            after = (page[-1].accessed, page[-1].entry.id)

    def urls(self, pattern: str = "*") -> Iterator[Listed]:
        """The URLs that match the glob and have entries, least recently used first."""
        return urls(self._database, pattern)

    def accesses(self, key: str) -> list[AccessNote]:
        """All entries of the key, the newest response first."""
        return self._accesses(_OF_KEY, (key,))

    def _accesses(self, statement: str, values: tuple[Any, ...]) -> list[AccessNote]:
        with self._database.read() as db:
            rows = db.execute(statement, values).fetchall()
            return [AccessNote(entry_from(row[:-2]), *row[-2:]) for row in rows]

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

    def counters(self) -> dict[str, int]:
        """The counters of all requests since the store was made, by name."""
        return dict(self._database.select("SELECT name, value FROM counters"))

    def used_bytes(self) -> int:
        """The bytes of all stored bodies."""
        return self.usage().bytes

    def settle(self) -> None:
        """Write SQLite's log back into the file, as far as Database.settle() finds it due."""
        self._database.settle()

    def refuse_endless_reader(self) -> None:
        """Raise StoreError while another program's long transaction makes the log grow without end."""
        self._database.refuse_endless_reader()

    def footprint(self) -> Footprint:
        """What bodies and rows take of the disk; `arriving` is 0, as the index does not know that."""
        ((allocated,),) = self._database.select("SELECT allocated FROM usage")
        live, spare = page_bytes(self._database)
        return Footprint(allocated, live, spare=spare)

    def compact(self) -> None:
        """Give the index's empty pages back to the disk, and cut its log short."""
        compact(self._database)

    def settling_at_once(self, at_once: bool = True) -> contextlib.AbstractContextManager[None]:
        """Have each settle() in the block write the log back: for a disk that has no room for a log."""
        return self._database.settling_at_once(at_once)

    def usage(self) -> Usage:
        """What is stored now, in sum."""
        ((size, blobs, entries),) = self._database.select("SELECT bytes, blobs, entries FROM usage")
        return Usage(size, blobs, entries)

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

    def last_used(self, seconds: float, now: float) -> dict[str, int]:
        """Digest to size of the bodies in files that were used in the `seconds` before the last use.

        Uses later than `now` (epoch seconds), which a wrong clock has noted, are not taken for the last
        one.
        """
        rows = self._database.select(
            "SELECT digest, blobs.size FROM accesses CROSS JOIN entries ON id = accesses.entry"
            " JOIN blobs USING (digest) WHERE place IS NULL AND accesses.accessed >= ifnull("
            "(SELECT accesses.accessed FROM accesses CROSS JOIN entries ON id = entry"
            " WHERE accesses.accessed <= ? ORDER BY accesses.accessed DESC LIMIT 1), 0) - ?",
            (now, seconds),
        )
        return dict(rows)

    # The steps by which space is made: rows first, then files that no row names.

    def unused(self, since: float, after: Candidate | None, limit: int) -> list[Candidate]:
        """At most `limit` entries not asked for `since` (epoch seconds), the least recently used first.

        They come after the candidate `after` in that order (None: from the beginning).
        """
        with self._database.read() as db:
            return eviction.unused(db, since, after, limit)

    def least_worth(self, since: float, after: Candidate | None, limit: int) -> list[Candidate]:
        """At most `limit` entries that were asked for `since` (epoch seconds), the lowest priority first.

        They come after the candidate `after` in that order (None: from the beginning).
        """
        with self._database.read() as db:
            return eviction.least_worth(db, since, after, limit)

    def priority_of_new(self, size: int) -> float:
        """The priority of a new entry of `size` bytes that nobody has asked for before."""
        with self._database.read() as db:
            return eviction.priority_of_new(db, size)

    def evict(self, candidates: Sequence[Candidate]) -> dict[int, int]:
        """Remove the candidates, but no blobs, and give their ghosts for `add_ghosts`."""
        ghosts: dict[int, int] = {}

        def evict(db: sqlite3.Connection, some: Sequence[Candidate]) -> int:
            return eviction.evict(db, some, ghosts)

        in_short_transactions(self._database, candidates, evict)
        return ghosts

    def add_ghosts(self, ghosts: Mapping[int, int]) -> None:
        """Store ghosts (name to uses), the last ones, at most as many as there are blobs.

        Best done for many at a time; to lose some does no harm.
        """
        newest = list(ghosts.items())[-max(1, self.usage().blobs) :]
        in_short_transactions(self._database, sorted(newest), eviction.add_ghosts)

    def unlink_first(self, candidates: Sequence[Candidate], files: BlobFiles) -> None:
        """Remove the candidates' files before their rows, if the disk has no room to remove a row.

        An entry that stays has no body, and is forgotten at the next request for it.
        """
        statement = "SELECT digest FROM entries WHERE id = ?"
        with self._database.alone():
            for one in candidates:
                for (digest,) in self._database.select(statement, (one.id,)):
                    files.remove(digest)
        files.free_removed()

    def unlink_all(self, files: BlobFiles) -> None:
        """Remove the files of all blobs before their rows, if the disk has no room to remove a row."""
        with self._database.alone():
            files.remove_all()

    def drop_ghosts(self) -> None:
        """Forget the oldest ghosts until there are no more than blobs."""
        while in_short_transactions(self._database, [0], lambda db, _: eviction.drop_ghosts(db)):
            pass

    def drop_unnamed(self, files: BlobFiles) -> int:
        """Remove the blobs that no entry names, and their files; gives how many there were."""
        return drop_unnamed(self._database, files)

    def drop_strays(self, digests: Iterable[str], files: BlobFiles) -> int:
        """Remove those files that no row of `blobs` says to be there; gives how many there were."""
        count = 0
        with self._database.write() as db:
            for digest in digests:
                if not db.execute(_HAS_FILE, (digest,)).fetchone():
                    files.remove(digest)
                    count += 1
        files.free_removed()
        return count

    def blobs(self) -> Iterator[tuple[str, int]]:
        """Digest and size of every blob, in the order of digests; reads 1,000 at a time."""
        digest = ""
        statement = f"SELECT digest, size FROM blobs WHERE digest > ? ORDER BY digest LIMIT {PAGE}"
        while page := self._database.select(statement, (digest,)):
            yield from page
            digest = page[-1][0]

    def next_blob(self, after: str) -> tuple[str, int] | None:
        """Digest and size of the blob whose digest is the next one `after` this; None after the last."""
        statement = "SELECT digest, size FROM blobs WHERE digest > ? ORDER BY digest LIMIT 1"
        rows = self._database.select(statement, (after,))
        return (rows[0][0], rows[0][1]) if rows else None

    def unbacked(self) -> list[Entry]:
        """Entries whose digest has no blob row: none, unless the file was changed by hand."""
        rows = self._database.select(
            f"{SELECT} WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = entries.digest)"
        )
        return [entry_from(row) for row in rows]

    def urls_of(self, digest: str) -> list[str]:
        """The keys of the entries that have this body, in order."""
        rows = self._database.select(
            f"SELECT DISTINCT key FROM entries WHERE id IN {_NAMING} ORDER BY key", (digest,)
        )
        return [key for (key,) in rows]

    def has_blob(self, digest: str) -> bool:
        """Whether a blob row knows the digest; waits for a commit that is under way."""
        return self._finds("SELECT 1 FROM blobs WHERE digest = ?", digest)

    def has_file(self, digest: str) -> bool:
        """Whether a blob row knows the digest and has its body in a file; waits for a commit under way."""
        return self._finds(_HAS_FILE, digest)

    def _finds(self, statement: str, digest: str) -> bool:
        if self._database.select(statement, (digest,)):
            return True
        with self._database.write() as db:
            return db.execute(statement, (digest,)).fetchone() is not None

    def drop_blob(self, digest: str, files: BlobFiles) -> int:
        """Forget a damaged blob, its file and every entry that names it; gives the number of entries."""
        with self._database.write() as db:
            count = db.execute(f"DELETE FROM entries WHERE id IN {_NAMING}", (digest,)).rowcount
            drop_blobs(db, [digest], files)
        files.free_removed()
        return count
