"""Who downloads what: a lock for each claim, and a row once there is something that outlives its leader."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from dataclasses import dataclass, replace

from pyproxycache.errors import StoreError
from pyproxycache.messages import Entry
from pyproxycache.store.blobs import Blobs, Partial
from pyproxycache.store.claim_locks import ClaimLocks
from pyproxycache.store.database import Database
from pyproxycache.store.rows import columns_of, entry_from, insert_entry

_KNOWN = (
    "SELECT (SELECT until FROM not_storable WHERE key = ?), EXISTS (SELECT 1 FROM flights WHERE key = ?)"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed flight: `token` names this leadership, `owner` is where its process is asked for it.

    `place` is the claim's lock. With a `partial`, the growing file, there may be a row as well, for both
    outlive the leader; `entry` is the response being stored, as the row has it.
    """

    key: str
    token: str
    owner: str
    place: int = 0
    partial: str = ""
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class Won:
    """The claim is ours; a file has the beginning of the body of `claim.entry`."""

    claim: Claim
    file: Partial | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody who is alive has it."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class NotStorable:
    """Nobody queues on this key for now."""


class Claims:
    """The locks of claims, and the flights and not_storable tables."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs
        self._locks: ClaimLocks | None = None
        self._committed = ""  # the token of this process's last blob that has its row

    @property
    def locks(self) -> ClaimLocks:
        """Raises StoreError where their file cannot be used."""
        if self._locks is None:
            self._locks = self._database.claim_locks
        return self._locks

    def claim(self, key: str, token: str, now: float) -> Won | Taken | NotStorable:
        """Become the leader, unless one lives or the key is known as not storable.

        `token` is new with each claim. Nothing is written where there is nothing to go on with.
        """
        locks = self.locks
        while True:
            place = locks.place(key)
            if not locks.take(place):
                claim = self._led(key, place)
                if claim is not None:
                    return Taken(claim)
                continue  # which has just ended
            won: Won | Taken | NotStorable | None = None
            try:
                until, is_left = self._database.read().execute(_KNOWN, (key, key)).fetchone()
                if until is not None and until > now:
                    won = NotStorable()
                else:
                    claim = Claim(key, token, locks.address(os.getpid()), place)
                    won = self._succeed(claim, now) if is_left else Won(claim)
                return won
            finally:
                if not isinstance(won, Won):
                    locks.release(place)

    def leader(self, key: str) -> Claim | None:
        """Who lives and leads the key."""
        return self._led(key, self.locks.place(key))

    def _led(self, key: str, place: int) -> Claim | None:
        """What the process that has the lock is doing, as far as it has told."""
        pid = self.locks.holder(place)
        found = _found(self._database.read(), key)
        if pid is None:
            # A claim from before the key's last epoch goes on if it has a row.
            goes_on = found is not None and self._is_writing(found)
            return replace(found, place=place) if found is not None and goes_on else None
        owner = self.locks.address(pid)
        if found is not None and found.owner == owner:
            return replace(found, place=place)
        return Claim(key, "", owner, place)

    def _is_writing(self, claim: Claim) -> bool:
        # In a transaction: a claim at this moment must not find a dead leader's file locked by us.
        with self._database.write():
            return self._is_locked(claim.partial)

    def _succeed(self, claim: Claim, now: float) -> Won | Taken:
        """With what a dead leader left, if it can be gone on with."""
        with self._database.write() as db:
            found = _found(db, claim.key)
            if found is None:
                return Won(claim)
            file: Partial | None = None
            with contextlib.suppress(FileNotFoundError):
                file = Partial.take_over(self._blobs.partial_path(found.partial))
                if file is None:
                    return Taken(replace(found, place=claim.place))
            if file is not None and file.size and not file.is_blob:
                claim = replace(claim, partial=found.partial, entry=found.entry)
                _put(db, claim, now)
                return Won(claim, file)
            # An empty file; or its leader died between naming the blob and committing the row.
            db.execute("DELETE FROM flights WHERE key = ?", (claim.key,))
            return Won(claim)

    def is_current(self, claim: Claim) -> bool:
        """Whether nobody has purged it, nor found it silent for too long."""
        if self.locks.place(claim.key) == claim.place:
            return True
        # The epoch may have been another key's, or all keys': then the row counts, if there is one.
        found = _found(self._database.read(), claim.key) if claim.partial else None
        return found is not None and found.token == claim.token

    def end_silent(self, claim: Claim) -> None:
        """A leader that lives but does not get on keeps its file, and loses the key."""
        with self._database.write() as db:
            if self.locks.place(claim.key) == claim.place:
                db.execute("DELETE FROM flights WHERE key = ?", (claim.key,))
                self.locks.begin_epoch(claim.key)

    def open_file(self, claim: Claim, now: float) -> Partial:
        """A file for the body, and the row that leads a successor to it.

        In a transaction, so that no sweep sees it unlocked.
        """
        with self._database.write() as db:
            file = Partial.create(self._blobs.partial_path(claim.partial))
            try:
                if self.locks.place(claim.key) == claim.place:
                    _put(db, claim, now)
            except BaseException:
                file.discard()
                raise
            return file

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

    def store(self, claim: Claim, entry: Entry, body: Partial | bytes) -> Entry | None:
        """Commit a whole body under its digest and end the claim; None when the claim is not current.

        The blob is in its place before the row that names it, both inside one transaction.
        """
        now = time.time()
        try:
            with self._database.write() as db:
                stored = self._put_in_place(db, claim, entry, body, now) if self._end(db, claim) else None
        except StoreError:
            self._remove_unnamed(entry.digest)  # named, but not committed: on a full disk, above all
            raise
        if not claim.partial:
            self._committed = claim.token
        self.locks.release(claim.place)
        return stored

    def _put_in_place(
        self, db: sqlite3.Connection, claim: Claim, entry: Entry, body: Partial | bytes, now: float
    ) -> Entry:
        if isinstance(body, Partial):
            self._blobs.keep(body.path, entry.digest)
        else:
            self._mend(db)
            self._blobs.write(entry.digest, body, claim.token)
        return replace(entry, id=insert_entry(db, entry, now))

    def _end(self, db: sqlite3.Connection, claim: Claim) -> bool:
        """Take the claim out of the table; whether it was current."""
        if claim.partial:
            ended = db.execute("DELETE FROM flights WHERE key = ? AND token = ?", (claim.key, claim.token))
            return ended.rowcount == 1
        return self.locks.place(claim.key) == claim.place

    def finish(self, claim: Claim, *, not_storable_until: float | None = None) -> None:
        """End the claim with nothing stored; with a time, remember the key as not storable until then."""
        try:
            if claim.partial or not_storable_until is not None:
                with self._database.write() as db:
                    self._end(db, claim)
                    if not_storable_until is not None:
                        db.execute(
                            "INSERT OR REPLACE INTO not_storable VALUES (?, ?)",
                            (claim.key, not_storable_until),
                        )
        finally:
            self.locks.release(claim.place)

    def leave(self, claim: Claim) -> None:
        """Let go of the claim; its row leads a successor to what there is."""
        self.locks.release(claim.place)

    def forget_expired(self, now: float) -> None:
        """Drop not_storable rows whose time is over."""
        with self._database.write() as db:
            db.execute("DELETE FROM not_storable WHERE until < ?", (now,))

    def running(self) -> list[tuple[str, float]]:
        """Keys of bodies that are coming in, and since when (epoch seconds)."""
        rows = self._database.read().execute("SELECT key, started, partial FROM flights ORDER BY started")
        return [(key, started) for key, started, partial in rows.fetchall() if self._is_locked(partial)]

    def _is_locked(self, partial: str) -> bool:
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
        with self._database.write() as db:
            self._mend(db)
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
            self._drop_unnamed(db, digest)

    def _drop_unnamed(self, db: sqlite3.Connection, digest: str) -> None:
        if not db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone():
            self._blobs.remove(digest)

    def _mend(self, db: sqlite3.Connection) -> None:
        """Of a writer that died between a blob and its row nothing stays."""
        noted = self._blobs.intent.noted()
        if noted is not None and noted[1] != self._committed:
            self._drop_unnamed(db, noted[0])
            self._blobs.intent.clear()


def _put(db: sqlite3.Connection, claim: Claim, now: float) -> None:
    row = (claim.key, claim.token, claim.owner, claim.partial, _text(claim.entry), now)
    db.execute("INSERT OR REPLACE INTO flights VALUES (?, ?, ?, ?, ?, ?)", row)


def _found(db: sqlite3.Connection, key: str) -> Claim | None:
    row = db.execute("SELECT token, owner, partial, entry FROM flights WHERE key = ?", (key,)).fetchone()
    return Claim(key, row[0], row[1], partial=row[2], entry=_entry(row[3])) if row else None


def _text(entry: Entry | None) -> str | None:
    return None if entry is None else json.dumps(columns_of(entry))


def _entry(text: str | None) -> Entry | None:
    return None if text is None else entry_from([*json.loads(text).values()])
