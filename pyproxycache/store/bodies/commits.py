"""Whole bodies and their rows: both are there, or neither, whenever a writer dies.

Small bodies are in their rows. Large ones have files, which are in place before the rows that name them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.messages import Entry
from pyproxycache.store.bodies.batches import Batches
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.bodies.partial import Partial
from pyproxycache.store.files.footprint import LARGEST_IN_INDEX
from pyproxycache.store.index.rows import insert_entry
from pyproxycache.store.sqlite.database import Database


@dataclass(frozen=True, slots=True)
class Commit:
    """A whole body, in its file or in memory, and its entry; `token` names its writer's claim.

    `end` ends the claim within the transaction, and gives whether it was current.
    """

    entry: Entry
    body: Partial | bytes
    token: str
    end: Callable[[sqlite3.Connection], bool]


class Commits:
    """Commits whole bodies, each with its row, and removes blobs that have no row."""

    def __init__(self, database: Database, blobs: Blobs, largest_in_index: int = LARGEST_IN_INDEX) -> None:
        self._database = database
        self._blobs = blobs
        self._largest_in_index = largest_in_index
        self._batches: Batches[Commit, int | None] = Batches(self._store)
        self._committed = ""  # the token of this process's last batch that has its rows

    def store(self, commit: Commit) -> int | None:
        """Commit the body, in one transaction with those of other threads; gives the entry's id.

        None if the claim was not current: nothing is stored then. Raises StoreError.
        """
        return self._batches.do(commit)

    def _store(self, commits: Sequence[Commit]) -> list[int | Exception | None]:
        now = clock.wall()
        try:
            with self._database.write() as db:
                self._mend(db)
                self._blobs.intent.begin(commits[0].token)
                known: set[str] = set()
                stored: list[int | Exception | None] = [
                    self._put_in_place(db, commit, now, known) if commit.end(db) else None
                    for commit in commits
                ]
            self._blobs.free_removed()
        except StoreError as error:
            if len(commits) > 1:  # what stands against one need not stand against all
                return [result for commit in commits for result in self._store([commit])]
            if commits[0].entry.size > self._largest_in_index:
                with contextlib.suppress(StoreError):  # else the next writer does it, by what is noted
                    self.remove_unnamed(commits[0].entry.digest)  # on a full disk, above all
            return [error]
        self._committed = commits[0].token
        return stored

    def _put_in_place(self, db: sqlite3.Connection, commit: Commit, now: float, known: set[str]) -> int:
        """Put the blob in place, then its row; `known`: keys that got rows in this transaction."""
        entry, body, content = commit.entry, commit.body, None
        if entry.size <= self._largest_in_index:
            content = body.content() if isinstance(body, Partial) else body
        elif isinstance(body, Partial):
            self._blobs.keep(body.path, entry.digest)
        else:
            self._blobs.write(entry.digest, body)
        is_first = entry.key not in known and self._database.versions.is_untouched(entry.key)
        known.add(entry.key)
        return insert_entry(db, entry, now, content, is_first=is_first)

    def remove_unfinished(self) -> None:
        """Remove the blobs of a writer that died before their rows were committed. Raises StoreError."""
        with self._database.write() as db:
            self._mend(db)

    def remove_unnamed(self, digest: str) -> None:
        """Remove the blob's file if no row names it; in a transaction, as a commit may be adopting it."""
        with self._database.write() as db:
            self._drop_unnamed(db, digest)
        self._blobs.free_removed()

    def _drop_unnamed(self, db: sqlite3.Connection, digest: str) -> None:
        if not db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone():
            self._blobs.remove(digest)

    def _mend(self, db: sqlite3.Connection) -> None:
        """Remove the blobs of a writer that died before their rows were committed, if there are any."""
        intent = self._blobs.intent
        if intent.token() != self._committed:
            for digest in intent.noted():
                self._drop_unnamed(db, digest)
            intent.begin("")
