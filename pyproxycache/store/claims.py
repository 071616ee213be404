"""Who downloads what: one claimed row a flight, taken and given up in write transactions."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass, replace

from pyproxycache.errors import StoreError
from pyproxycache.messages import Entry
from pyproxycache.store.blobs import Blobs, Partial
from pyproxycache.store.database import Database
from pyproxycache.store.rows import columns_of, entry_from, insert_entry


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed flight: `token` names this leadership, `partial` the growing file, which outlives it.

    `owner` is the address of the feed of the leader's process. `entry` is the response being stored, once
    its head is recorded.
    """

    key: str
    token: str
    owner: str
    partial: str
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class Won:
    """The claim is ours; the file may hold the beginning of the body of `claim.entry`."""

    claim: Claim
    file: Partial


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody who is alive has it."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class NotStorable:
    """Nobody queues on this key for now."""


class Claims:
    """The flights and not_storable tables."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def current(self, key: str) -> str | None:
        """The token that leads the key now."""
        row = self._database.read().execute("SELECT token FROM flights WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def claim(
        self, key: str, token: str, owner: str, now: float, *, expired: Collection[str] = ()
    ) -> Won | Taken | NotStorable:
        """Become the leader, unless one lives or the key is known as not storable.

        `token` is new with each claim. A leader whose token is `expired` may live but does not get on:
        it keeps its file, and loses the key.
        """
        row = (
            self._database.read().execute("SELECT until FROM not_storable WHERE key = ?", (key,)).fetchone()
        )
        if row and row[0] > now:
            return NotStorable()
        file: Partial | None = None
        try:
            with self._database.write() as db:
                found = _found(db, key)
                file = self._file(found, token, expired)
                if file is None:
                    assert found is not None, "only a leader keeps a file from us"
                    return Taken(found)
                entry = found.entry if found and file.size else None
                claim = Claim(key, token, owner, file.path.name, entry)
                db.execute(
                    "INSERT OR REPLACE INTO flights VALUES (?, ?, ?, ?, ?, ?)",
                    (key, token, owner, claim.partial, _text(entry), now),
                )
        except BaseException:
            if file is not None and not file.size:
                file.discard()
            raise
        return Won(claim, file)

    def leader(self, key: str, expired: Collection[str] = ()) -> Claim | None:
        """Who lives and leads the key; of those whose token is `expired` nobody."""
        if _found(self._database.read(), key) is None:
            return None
        # In a transaction: a claim at this moment must not find a dead leader's file locked by us.
        with self._database.write() as db:
            found = _found(db, key)
            led = found is not None and found.token not in expired and self._is_led(found.partial)
            return found if led else None

    def _file(self, found: Claim | None, token: str, expired: Collection[str]) -> Partial | None:
        """The dead leader's file, or a new one where there is none to go on with; None while it lives."""
        if found is not None and found.token not in expired:
            try:
                file = Partial.take_over(self._blobs.partial_path(found.partial))
            except FileNotFoundError:
                pass
            else:
                if file is None or not file.is_blob:
                    return file
                # Its leader died between naming the blob and committing the row: left to the sweep.
                file.release()
        return Partial.create(self._blobs.partial_path(token))

    def new_file(self, name: str) -> Partial:
        """A file for a body that begins anew; in a transaction, so that no sweep sees it unlocked."""
        with self._database.write():
            return Partial.create(self._blobs.partial_path(name))

    def record(self, claim: Claim) -> bool:
        """Note the head and the file of what is being downloaded, so that a successor can resume it."""
        with self._database.write() as db:
            changed = db.execute(
                "UPDATE flights SET entry = ?, partial = ? WHERE key = ? AND token = ?",
                (_text(claim.entry), claim.partial, claim.key, claim.token),
            )
            return changed.rowcount == 1

    def store(self, claim: Claim, entry: Entry, file: Partial) -> Entry | None:
        """Commit a whole body under its digest and end the claim; None when the claim is not current.

        The blob is in its place before the row that names it, both inside one transaction.
        """
        now = time.time()
        try:
            with self._database.write() as db:
                if not db.execute(
                    "DELETE FROM flights WHERE key = ? AND token = ?", (claim.key, claim.token)
                ).rowcount:
                    return None
                self._blobs.keep(file.path, entry.digest)
                return replace(entry, id=insert_entry(db, entry, now))
        except StoreError:
            self._remove_unnamed(entry.digest)  # named, but not committed: on a full disk, above all
            raise

    def finish(self, claim: Claim, *, not_storable_until: float | None = None) -> None:
        """End the claim with nothing stored; with a time, remember the key as not storable until then."""
        with self._database.write() as db:
            db.execute("DELETE FROM flights WHERE key = ? AND token = ?", (claim.key, claim.token))
            if not_storable_until is not None:
                db.execute(
                    "INSERT OR REPLACE INTO not_storable VALUES (?, ?)", (claim.key, not_storable_until)
                )

    def forget_expired(self, now: float) -> None:
        """Drop not_storable rows whose time is over."""
        with self._database.write() as db:
            db.execute("DELETE FROM not_storable WHERE until < ?", (now,))

    def running(self) -> list[tuple[str, float]]:
        """Keys of flights whose leader lives, and when they were claimed (epoch seconds)."""
        rows = self._database.read().execute("SELECT key, started, partial FROM flights ORDER BY started")
        return [(key, started) for key, started, partial in rows.fetchall() if self._is_led(partial)]

    def _is_led(self, partial: str) -> bool:
        try:
            return Partial.take_over(self._blobs.partial_path(partial)) is None
        except FileNotFoundError:
            return False

    def sweep(self, *, unused_since: float) -> int:
        """Remove the leavings of dead leaders; gives how many files went.

        A partial file without a row, or not written since `unused_since` (epoch seconds), has no
        successor to expect. One with a second name died between naming the blob and committing the
        row: the blob goes as well, unless a row names it.
        """
        count = 0
        for name in list(self._blobs.partial_tokens()):
            with contextlib.suppress(FileNotFoundError):
                count += self._sweep_one(name, unused_since)
        return count

    def _sweep_one(self, name: str, unused_since: float) -> int:
        with self._database.write() as db:
            file = Partial.take_over(self._blobs.partial_path(name))
            if file is None:
                return 0
            row = db.execute("SELECT key FROM flights WHERE partial = ?", (name,)).fetchone()
            if row and not file.is_blob and file.written >= unused_since:
                return 0
            db.execute("DELETE FROM flights WHERE partial = ?", (name,))
        # No row leads to the file any more and it is locked: hashing it keeps nobody waiting.
        if file.is_blob:
            self._remove_unnamed(file.digest())
        file.discard()
        return 1

    def _remove_unnamed(self, digest: str) -> None:
        """Unlink the blob if no row names it; in a transaction, for a commit may be adopting it."""
        with self._database.write() as db:
            if not db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone():
                self._blobs.remove(digest)


def _found(db: sqlite3.Connection, key: str) -> Claim | None:
    row = db.execute("SELECT token, owner, partial, entry FROM flights WHERE key = ?", (key,)).fetchone()
    return Claim(key, row[0], row[1], row[2], _entry(row[3])) if row else None


def _text(entry: Entry | None) -> str | None:
    return None if entry is None else json.dumps(columns_of(entry))


def _entry(text: str | None) -> Entry | None:
    return None if text is None else entry_from([*json.loads(text).values()])
