"""Which entry goes first: bounded GDSF with ghosts (docs/eviction.md), as columns and statements.

An entry's priority is the cache's age when it was last asked for, plus what it is worth; the lowest goes.
The age is the highest priority evicted so far. A ghost is the name of an entry that was evicted: should it
come back, it is worth more than what is new.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from pyproxycache.store.files.footprint import BLOCK
from pyproxycache.store.sqlite.priority import AGE, MOST_USES, worth

_GHOSTS_AT_ONCE = 500
_BEFORE_ALL = -1.0
_ROW = (
    "1000 + length(headers) + 3 * length(key) + 2 * length(variant),"
    " ifnull((SELECT place IS NULL FROM blobs WHERE blobs.digest = entries.digest), 1)"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that may be evicted; `freed` is the size of its body, 0 if a later candidate has it too.

    `priority` is None if the last access (`accessed`, epoch seconds) alone decides. `row_bytes` is about
    the size of its row. `has_file`: its body is not in the index.
    """

    id: int
    priority: float | None
    accessed: float
    freed: int
    row_bytes: int = 0
    has_file: int = 1

    @property
    def index_bytes(self) -> int:
        """About how many bytes of the index its eviction frees."""
        return self.row_bytes if self.has_file else self.row_bytes + self.freed

    @property
    def file_bytes(self) -> int:
        """How many bytes of the disk its eviction frees besides the index: whole blocks of its file."""
        return -(-self.freed // BLOCK) * BLOCK if self.has_file else 0

    @property
    def files(self) -> int:
        """How many files its eviction removes: 0 or 1."""
        return int(bool(self.freed and self.has_file))


def uses_of_ghost(db: sqlite3.Connection, identity: Sequence[Any]) -> int:
    """The uses that a new entry begins with: one more than its ghost, which is removed; 0 without one.

    `identity` is the entry's key, vary, variant, and first and last position.
    """
    found = db.execute("DELETE FROM ghosts WHERE name = ? RETURNING uses", (_name(identity),)).fetchone()
    return min(found[0] + 1, MOST_USES) if found else 0


def _name(identity: Sequence[Any]) -> int:
    text = "\n".join(map(str, identity)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


_REMOVE = "DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?))"
_PINNED = "EXISTS (SELECT 1 FROM pins WHERE pins.key = {0}.key)"
_FREED = (
    "iif(EXISTS (SELECT 1 FROM sharers JOIN entries AS other ON other.id = sharers.entry"
    " WHERE sharers.digest = entries.digest AND other.digest = entries.digest AND ({later}"
    f" OR {_PINNED.format('other')})), 0, size)"
)
# The order is that of the table on the left; what is not on the right has been removed.
_UNUSED = (
    "SELECT id, NULL, accesses.accessed, "
    + _FREED.format(later="(other.accessed, other.id) > (entries.accessed, entries.id)")
    + f", {_ROW} FROM accesses CROSS JOIN entries ON id = entry"
    " WHERE accesses.accessed < ? AND (accesses.accessed, entry) > (?, ?)"
    f" AND NOT {_PINNED.format('entries')}"
    " ORDER BY accesses.accessed, entry LIMIT ?"
)
_LEAST_WORTH = (
    "SELECT id, place.priority, place.accessed, "
    + _FREED.format(
        later="other.accessed >= ?1"
        " AND (other.priority, other.accessed, other.id) > (entries.priority, entries.accessed, entries.id)"
    )
    + f", {_ROW} FROM priorities AS place CROSS JOIN entries ON id = entry"
    " WHERE place.accessed >= ?1 AND (place.priority, place.accessed, entry) > (?2, ?3, ?4)"
    f" AND NOT {_PINNED.format('entries')}"
    " ORDER BY place.priority, place.accessed, entry LIMIT ?5"
)


def unused(db: sqlite3.Connection, since: float, after: Candidate | None, limit: int) -> list[Candidate]:
    """At most `limit` entries not asked for `since` (epoch seconds), the least recently used first.

    They come after the candidate `after` in that order (None: from the beginning).
    """
    place = (after.accessed, after.id) if after else (_BEFORE_ALL, 0)
    return [Candidate(*row) for row in db.execute(_UNUSED, (since, *place, limit)).fetchall()]


def least_worth(
    db: sqlite3.Connection, since: float, after: Candidate | None, limit: int
) -> list[Candidate]:
    """At most `limit` entries that were asked for `since` (epoch seconds), the lowest priority first.

    They come after the candidate `after` in that order (None: from the beginning).
    """
    place = (after.priority, after.accessed, after.id) if after else (_BEFORE_ALL, 0.0, 0)
    return [Candidate(*row) for row in db.execute(_LEAST_WORTH, (since, *place, limit)).fetchall()]


def priority_of_new(db: sqlite3.Connection, size: int) -> float:
    """The priority of a new entry of `size` bytes that nobody has asked for before."""
    (age,) = db.execute(f"SELECT {AGE}").fetchone()
    return float(age) + worth(0, size)


def evict(db: sqlite3.Connection, candidates: Sequence[Candidate], ghosts: dict[int, int]) -> int:
    """Remove those of the candidates that are still there; gives how many, and adds to `ghosts`.

    `ghosts` maps an entry's name, a hash, to its uses.
    """
    ids = json.dumps([one.id for one in candidates])
    priorities = [one.priority for one in candidates if one.priority is not None]
    if not priorities:
        return db.execute(_REMOVE, (ids,)).rowcount
    gone = db.execute(
        f"{_REMOVE} RETURNING key, vary, variant, first_pos, last_pos, uses", (ids,)
    ).fetchall()
    ghosts.update((_name(identity), uses) for *identity, uses in gone)
    db.execute("UPDATE usage SET age = max(age, ?)", (max(priorities),))
    return len(gone)


def add_ghosts(db: sqlite3.Connection, ghosts: Sequence[tuple[int, int]]) -> int:
    """Store ghosts, (name, uses), which are best sorted: neighbours share pages."""
    return db.executemany("INSERT OR REPLACE INTO ghosts (name, uses) VALUES (?, ?)", ghosts).rowcount


def drop_ghosts(db: sqlite3.Connection) -> int:
    """Forget some of the oldest ghosts if there are more than blobs; gives how many."""
    return db.execute(
        "DELETE FROM ghosts WHERE place IN (SELECT place FROM ghosts"
        " WHERE place <= (SELECT max(place) FROM ghosts) - (SELECT blobs FROM usage)"
        f" ORDER BY place LIMIT {_GHOSTS_AT_ONCE})"
    ).rowcount
