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
    """An entry that may go; `freed`: bytes of its blob, 0 where a later one names it too.

    `priority` is None where its last access (epoch seconds) alone decides. `head`: bytes of its row, about.
    `has_file`: the blob is not in the index.
    """

    id: int
    priority: float | None
    accessed: float
    freed: int
    head: int = 0
    has_file: int = 1

    @property
    def rows(self) -> int:
        """Bytes that go from the index with it, about."""
        return self.head if self.has_file else self.head + self.freed

    @property
    def blocks(self) -> int:
        """Bytes of the disk that its file takes."""
        return -(-self.freed // BLOCK) * BLOCK if self.has_file else 0

    @property
    def files(self) -> int:
        """Files that go with it."""
        return int(bool(self.freed and self.has_file))


def uses_of_ghost(db: sqlite3.Connection, identity: Sequence[Any]) -> int:
    """How often an entry that comes in was used before, by its ghost, which is removed; 0 without one."""
    found = db.execute("DELETE FROM ghosts WHERE name = ? RETURNING uses", (_name(identity),)).fetchone()
    return min(found[0] + 1, MOST_USES) if found else 0


def _name(identity: Sequence[Any]) -> int:
    text = "\n".join(map(str, identity)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


_REMOVE = "DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?))"
_FREED = (
    "iif(EXISTS (SELECT 1 FROM sharers JOIN entries AS other ON other.id = sharers.entry"
    " WHERE sharers.digest = entries.digest AND other.digest = entries.digest AND {later}), 0, size)"
)
# The order is that of the table on the left; what is not on the right has been removed.
_UNUSED = (
    "SELECT id, NULL, accesses.accessed, "
    + _FREED.format(later="(other.accessed, other.id) > (entries.accessed, entries.id)")
    + f", {_ROW} FROM accesses CROSS JOIN entries ON id = entry"
    " WHERE accesses.accessed < ? AND (accesses.accessed, entry) > (?, ?)"
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
    " ORDER BY place.priority, place.accessed, entry LIMIT ?5"
)


def unused(db: sqlite3.Connection, since: float, after: Candidate | None, limit: int) -> list[Candidate]:
    """Entries not asked for `since` (epoch seconds), the least recently used first, from `after` on."""
    place = (after.accessed, after.id) if after else (_BEFORE_ALL, 0)
    return [Candidate(*row) for row in db.execute(_UNUSED, (since, *place, limit)).fetchall()]


def least_worth(
    db: sqlite3.Connection, since: float, after: Candidate | None, limit: int
) -> list[Candidate]:
    """The others, in the order in which they go."""
    place = (after.priority, after.accessed, after.id) if after else (_BEFORE_ALL, 0.0, 0)
    return [Candidate(*row) for row in db.execute(_LEAST_WORTH, (since, *place, limit)).fetchall()]


def priority_of_new(db: sqlite3.Connection, size: int) -> float:
    """What an entry of so many bytes would have that nobody has asked for before."""
    (age,) = db.execute(f"SELECT {AGE}").fetchone()
    return float(age) + worth(0, size)


def evict(db: sqlite3.Connection, candidates: Sequence[Candidate], ghosts: dict[int, int]) -> int:
    """Remove those of the entries that are still there; gives how many went, and their ghosts."""
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
    """Keep names and uses, by name: neighbours share pages."""
    return db.executemany("INSERT OR REPLACE INTO ghosts (name, uses) VALUES (?, ?)", ghosts).rowcount


def drop_ghosts(db: sqlite3.Connection) -> int:
    """Forget the oldest ghosts, some at a time, until there are as many as blobs; gives how many went."""
    return db.execute(
        "DELETE FROM ghosts WHERE place IN (SELECT place FROM ghosts"
        " WHERE place <= (SELECT max(place) FROM ghosts) - (SELECT blobs FROM usage)"
        f" ORDER BY place LIMIT {_GHOSTS_AT_ONCE})"
    ).rowcount
