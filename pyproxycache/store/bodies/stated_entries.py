"""Stored entries, held against what is stated of their files: forgotten, or marked as proven."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from pyproxycache.body import in_blocks
from pyproxycache.statement import STATED, Statement
from pyproxycache.store.bodies.packed_digests import SAFE
from pyproxycache.store.bodies.stored_bodies import StoredBodies
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.values import BodyGone, Counting

_HASHES = {"sha-512": hashlib.sha512, "sha": hashlib.sha1, "md5": hashlib.md5}
# Those that one mirror alone gives are what it states, whatever others state.
_ENTRIES = (
    "SELECT id, digest, size, first_pos, headers, proven FROM entries"
    f" WHERE key = ? AND status IN (200, 206) AND instr(vary, '{STATED}') = 0"
)

StatementsOf = Callable[[sqlite3.Connection, str], list[Statement]]
"""Gives what is stated of the file with this cache key."""


@dataclass(frozen=True, slots=True)
class UnreadBody:
    """A stored body that has to be read to know which of these digests it has."""

    id: int
    digest: str
    size: int
    file: str
    algorithms: frozenset[str]


class StatedEntries:
    """The entries of files of which documents state digests; `counting` says which statements count."""

    def __init__(
        self, database: Database, bodies: StoredBodies, counting: Counting, statements: StatementsOf
    ) -> None:
        self._database = database
        self._bodies = bodies
        self._counting = counting
        self._statements = statements

    def judged(self, db: sqlite3.Connection, key: str, changer: str | None = None) -> Iterator[UnreadBody]:
        """Judge what is stored of a file by what is stated of it; gives what has to be read for that.

        `changer` is the repository that states another file than before, None if none does.
        """
        statements = self._statements(db, key)
        for id, digest, size, first, headers, proven in db.execute(_ENTRIES, (key,)).fetchall():
            if first >= 0:  # which file it is a part of is not known
                counted = {one.repository for one in self._counting(key, statements) if one.is_binding}
                if changer in counted:
                    db.execute("DELETE FROM entries WHERE id = ?", (id,))
            elif '"content-encoding"' not in headers.lower():
                if algorithms := _needed(statements):
                    yield UnreadBody(id, digest, size, key, algorithms)
                else:
                    self._mark(db, id, proven, key, statements, {"sha-256": digest})

    def _mark(
        self,
        db: sqlite3.Connection,
        id: int,
        proven: int | None,
        key: str,
        statements: Sequence[Statement],
        found: Mapping[str, str],
    ) -> None:
        """Forget an entry whose body has the digests `found`, or mark it as proven and disputed."""
        counted = [one for one in self._counting(key, statements) if one.is_binding]
        right = [one for one in counted if _has(found, one)]
        if counted and not right:
            db.execute("DELETE FROM entries WHERE id = ?", (id,))
            return
        is_safe = any(SAFE.intersection(dict(one.digests)) for one in counted)
        # What it proves itself by, as its name, stays where no document counts.
        is_proven = right == counted and is_safe if counted else bool((proven or 0) & 1)
        is_disputed = any(one.is_binding and not _has(found, one) for one in statements)
        if (mark := is_proven + 2 * is_disputed) != proven:
            db.execute("UPDATE entries SET proven = ? WHERE id = ?", (mark, id))

    def compare(self, one: UnreadBody) -> None:
        """Read a stored body, and judge it by its digests."""
        found = {name: _HASHES[name](usedforsecurity=False) for name in one.algorithms}
        try:
            with closing(self._bodies.open(one.digest, one.size, 0, one.size)) as body:
                for block in in_blocks(body):
                    for hashed in found.values():
                        hashed.update(block)
        except (BodyGone, OSError):
            return
        digests = {"sha-256": one.digest, **{name: hashed.hexdigest() for name, hashed in found.items()}}
        with self._database.write() as db:
            statements = self._statements(db, one.file)
            row = db.execute(
                "SELECT proven FROM entries WHERE id = ? AND digest = ?", (one.id, one.digest)
            ).fetchone()
            if row is not None and _needed(statements) <= one.algorithms:
                self._mark(db, one.id, row[0], one.file, statements, digests)


def _compared(one: Statement) -> tuple[tuple[str, str], ...]:
    """The digests that a stored body is compared by: its sha256 is known, and others are to be read."""
    return tuple(pair for pair in one.digests if pair[0] == "sha-256") or one.digests


def _needed(statements: Sequence[Statement]) -> frozenset[str]:
    """The algorithms by which a stored body has to be read."""
    return frozenset(
        name for one in statements if one.is_binding for name, _ in _compared(one) if name in _HASHES
    )


def _has(found: Mapping[str, str], one: Statement) -> bool:
    return all(found.get(name) == digest for name, digest in _compared(one))
