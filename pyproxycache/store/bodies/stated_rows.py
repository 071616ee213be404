"""The digests that documents state of files, as rows, and what follows for what is stored of these."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from pyproxycache import clock
from pyproxycache.statement import MOST_OF_A_FILE, Statement
from pyproxycache.store.bodies.packed_digests import agree, packed, strength, unpacked
from pyproxycache.store.bodies.stated_entries import StatedEntries, UnreadBody
from pyproxycache.store.bodies.stored_bodies import StoredBodies
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.short_transactions import PAGE, in_short_transactions
from pyproxycache.store.values import Counting, StatedFile, Statements
from pyproxycache.url import origin_of, without_query

log = logging.getLogger("pyproxycache.store")

MOST_STATED = 1_000_000
"""Statements that are kept; of more, those go that the repository with most of them made longest ago."""

_AT_A_TIME = 1000
_DAY = 86400
_KEPT_DAYS = 90
_RENEWED_DAYS = 7
_MOST_DOCUMENTS = 100_000
_MISMATCH_SECONDS = 3600.0
_MOST_MISMATCHES = 10_000
_READING_SECONDS = 60.0


_STATEMENT = "ifnull(repositories.url, ''), digests, ifnull(documents.url, ''), binding"
_JOINED = (
    "LEFT JOIN repositories ON repositories.id = repository LEFT JOIN documents ON documents.id = document"
)
_OF = (
    f"SELECT {_STATEMENT},"
    " EXISTS (SELECT 1 FROM mismatches WHERE file = ?1 AND time > ?2),"
    " EXISTS (SELECT 1 FROM documents WHERE reading BETWEEN ?3 AND ?4)"
    f" FROM (SELECT ?1 AS asked) LEFT JOIN stated ON file = asked {_JOINED} ORDER BY repositories.url"
)
_OF_FILE = f"SELECT {_STATEMENT} FROM stated {_JOINED} WHERE file = ? ORDER BY repositories.url"
_PUT = (
    "INSERT INTO stated VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (file, repository) DO UPDATE SET"
    " digests = excluded.digests, binding = excluded.binding, document = excluded.document,"
    " day = excluded.day"
)


@dataclass(frozen=True, slots=True)
class _Change:
    """A file of which a repository states something new, or the same after some days.

    `contradicts`: it has stated something else of the file.
    """

    name: bytes
    file: StatedFile
    digests: bytes
    contradicts: bool


class _Said(NamedTuple):
    """What a repository states of a file, as its row has it, and the day when it was stated last."""

    day: int
    repository: str
    digests: bytes
    document: str
    binding: int


class StatedRows:
    """The digests that documents state, in SQLite; each method raises StoreError.

    Rows are found by a hash of the cache key, which is as long as the key of a large index may be.
    `counting` says which statements of a file count.
    """

    def __init__(
        self, database: Database, bodies: StoredBodies, counting: Counting, most: int = MOST_STATED
    ) -> None:
        self._database = database
        self._entries = StatedEntries(database, bodies, counting, _statements)
        self._most = most

    def of(self, key: str) -> Statements:
        """What is known of the file; without statements where nothing is."""
        now = clock.wall()
        values = (_name(key), now - _MISMATCH_SECONDS, *_reading_times(now))
        rows = self._database.select(_OF, values)
        *_, has_failed, may_follow = rows[0]
        made = tuple(_statement(row[:4]) for row in rows if row[1] is not None)
        return Statements(made, bool(has_failed), may_follow=bool(may_follow))

    def state(
        self, document: str, repository: str, files: Iterable[StatedFile], *, is_binding: bool = True
    ) -> int:
        """Note what the document of this URL states; gives how many files changed.

        What is stored and is none of what counts is forgotten; what is all of that counts as proven.
        """
        changed, rest = 0, iter(files)
        today = int(clock.wall()) // _DAY
        while batch := list(islice(rest, _AT_A_TIME)):
            changed += self._state(document, repository, batch, is_binding, today)
        if changed:
            self._trim(today)
        return changed

    def _state(
        self, document: str, repository: str, batch: Sequence[StatedFile], is_binding: bool, today: int
    ) -> int:
        changes = sorted(
            self._changes(document, repository, batch, is_binding, today), key=lambda one: one.name
        )
        if not changes:
            return 0
        self._database.refuse_endless_reader()
        number = self._number(document)
        unread: list[UnreadBody] = []
        versions = self._database.versions

        def write(db: sqlite3.Connection, some: Sequence[_Change]) -> int:
            place = _repository_number(db, repository)
            rows = ((one.name, place, one.digests, is_binding, number, today) for one in some)
            db.executemany(_PUT, rows)
            for one in some:
                if not versions.is_untouched(one.file.key):
                    changer = repository if one.contradicts else None
                    unread.extend(self._entries.judged(db, one.file.key, changer))
            return len(some)

        done = in_short_transactions(self._database, changes, write)
        for body in unread:
            self._entries.compare(body)
        return done

    def review(self, key: str) -> None:
        """Hold what is stored of a file against what is stated of it by now."""
        with self._database.write() as db:
            unread = list(self._entries.judged(db, key))
        for body in unread:
            self._entries.compare(body)

    def _changes(
        self, document: str, repository: str, batch: Sequence[StatedFile], is_binding: bool, today: int
    ) -> Iterator[_Change]:
        """The files of which the document may say something new, or the same after some days."""
        marks = ", ".join("?" * len(batch))
        names = [_name(one.key) for one in batch]
        rows = self._database.select(
            f"SELECT file, day, {_STATEMENT} FROM stated {_JOINED} WHERE file IN ({marks})", names
        )
        known: dict[bytes, list[_Said]] = {}
        for name, *said in rows:
            known.setdefault(name, []).append(_Said(*said))
        contradicted = ""
        for name, one in dict(zip(names, batch, strict=True)).items():
            said, digests = known.get(name, []), packed(one.digests)
            before = next((each for each in said if each.repository == repository), None)
            if before is None and len(said) >= MOST_OF_A_FILE:
                continue
            is_same = before is not None and before.digests == digests
            if before is not None and is_same and before.binding == is_binding:
                if today - before.day < _RENEWED_DAYS:
                    continue
            elif before is not None and _is_weaker(document, digests, before):
                continue
            others = (each for each in said if each.digests != digests and each is not before)
            contradicted = contradicted or next(
                (each.document for each in others if not agree(each.digests, digests)), ""
            )
            yield _Change(name, one, digests, contradicts=before is not None and not is_same)
        if contradicted:
            told = without_query(document), without_query(contradicted)
            log.warning("%s states other digests of files than %s", *told)

    def _number(self, document: str) -> int:
        with self._database.write() as db:
            return _number_of(db, document)

    def _trim(self, today: int) -> None:
        """Forget what was stated longest ago, where that is too long ago or there is too much."""
        old = self._database.select(
            "SELECT file, repository FROM repositories CROSS JOIN stated"
            " ON repository = id AND day < ? LIMIT ?",
            (today - _KEPT_DAYS, 2 * PAGE),
        )
        forgotten = in_short_transactions(self._database, old, _forget)
        ((count,),) = self._database.select("SELECT stated FROM usage")
        if (over := count - self._most) > 0:
            forgotten += self._forget_of_the_most(over)
        if forgotten:
            with self._database.write() as db:
                db.execute(
                    "DELETE FROM repositories WHERE NOT EXISTS (SELECT 1 FROM stated WHERE repository = id)"
                )

    def _forget_of_the_most(self, over: int) -> int:
        """Forget so many statements: a repository that states much costs nobody but itself."""
        counted = "SELECT repository, count(*) FROM stated GROUP BY repository"
        left: dict[int, int] = dict(self._database.select(counted))
        forgotten = 0
        while over > forgotten and left:
            most = max(left, key=lambda one: left[one])
            some = min(over - forgotten, _AT_A_TIME)
            old = self._database.select(
                "SELECT file, repository FROM stated WHERE repository = ? ORDER BY day LIMIT ?",
                (most, some),
            )
            if not old:
                return forgotten
            left[most] -= len(old)
            forgotten += in_short_transactions(self._database, old, _forget)
        return forgotten

    def note_mismatch(self, key: str) -> None:
        """Note that a body came with another digest; `of` tells it for an hour."""
        now = clock.wall()
        with self._database.write() as db:
            db.execute("INSERT OR REPLACE INTO mismatches VALUES (?, ?)", (_name(key), now))
            ((count,),) = db.execute("SELECT count(*) FROM mismatches")
            if count > _MOST_MISMATCHES:
                db.execute("DELETE FROM mismatches WHERE time <= ?", (now - _MISMATCH_SECONDS,))
                db.execute(
                    "DELETE FROM mismatches WHERE file IN"
                    " (SELECT file FROM mismatches ORDER BY time LIMIT ?)",
                    (_MOST_MISMATCHES // 10,),
                )

    def begin_reading(self, document: str) -> None:
        """Note that what the document states is still to come."""
        self._note_reading(document, read=0.0, reading=clock.wall())

    def end_reading(self, document: str) -> None:
        """Note that all is noted that the document states."""
        self._note_reading(document, read=clock.wall(), reading=None)

    def _note_reading(self, document: str, *, read: float, reading: float | None) -> None:
        with self._database.write() as db:
            number = _number_of(db, document)
            db.execute("UPDATE documents SET read = ?, reading = ? WHERE id = ?", (read, reading, number))

    def is_being_read(self, origin: str) -> bool:
        """Whether a document of this origin is being read, in any process, since a minute at most."""
        rows = self._database.select(
            "SELECT url FROM documents WHERE reading BETWEEN ? AND ? LIMIT 100",
            _reading_times(clock.wall()),
        )
        return any(origin_of(url) == origin for (url,) in rows)

    def was_read_since(self, document: str, time: float) -> bool:
        """Whether the document was read at that time or later, or is being read, since a minute at most."""
        statement = "SELECT 1 FROM documents WHERE url = ? AND (read >= ? OR reading BETWEEN ? AND ?)"
        values = (document, time, *_reading_times(clock.wall()))
        return bool(self._database.select(statement, values))


def _reading_times(now: float) -> tuple[float, float]:
    """When what is being read now has begun: not later than now, but by a clock that was set back."""
    return now - _READING_SECONDS, now + _READING_SECONDS


def _number_of(db: sqlite3.Connection, document: str) -> int:
    """The number of a document, which gets one if it is new; the oldest go where there are too many."""
    found = db.execute("SELECT id FROM documents WHERE url = ?", (document,)).fetchone()
    if found is not None:
        return int(found[0])
    put = db.execute("INSERT INTO documents (url, read) VALUES (?, ?)", (document, clock.wall()))
    number = put.lastrowid or 0
    if number % 100 == 0:
        db.execute(
            "DELETE FROM documents WHERE id IN"
            " (SELECT id FROM documents ORDER BY read DESC LIMIT -1 OFFSET ?)",
            (_MOST_DOCUMENTS,),
        )
    return number


def _repository_number(db: sqlite3.Connection, url: str) -> int:
    """The number of a repository, which has to get a statement in the same transaction."""
    found = db.execute("SELECT id FROM repositories WHERE url = ?", (url,)).fetchone()
    if found is not None:
        return int(found[0])
    return db.execute("INSERT INTO repositories (url) VALUES (?)", (url,)).lastrowid or 0


def _forget(db: sqlite3.Connection, some: Sequence[tuple[bytes, int]]) -> int:
    return db.executemany("DELETE FROM stated WHERE file = ? AND repository = ?", some).rowcount


def _statements(db: sqlite3.Connection, key: str) -> list[Statement]:
    return [_statement(row) for row in db.execute(_OF_FILE, (_name(key),))]


def _statement(row: Sequence[Any]) -> Statement:
    repository, digests, document, binding = row
    return Statement(repository, unpacked(digests), document, bool(binding))


def _is_weaker(document: str, digests: bytes, before: _Said) -> bool:
    """Whether another document of the same repository has stated more."""
    return document != before.document and strength(digests) < strength(before.digests)


def _name(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:16]
