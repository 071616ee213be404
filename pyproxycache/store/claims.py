"""Who downloads what: one claimed row a flight, taken and given up in write transactions."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from pyproxycache.messages import Entry
from pyproxycache.store.blobs import Blobs, Partial
from pyproxycache.store.database import Database
from pyproxycache.store.index import entry_from, insert_entry, row_of


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

    def claim(self, key: str, owner: str, now: float) -> Won | Taken | NotStorable:
        """Become the leader, unless one lives or the key is known as not storable."""
        row = (
            self._database.read().execute("SELECT until FROM not_storable WHERE key = ?", (key,)).fetchone()
        )
        if row and row[0] > now:
            return NotStorable()
        token = secrets.token_hex(8)
        with self._database.write() as db:
            row = db.execute(
                "SELECT token, owner, partial, entry FROM flights WHERE key = ?", (key,)
            ).fetchone()
            if row:
                found = Claim(key, row[0], row[1], row[2], _entry(row[3]))
                file = self._inherit(found)
                if file is None:
                    return Taken(found)
                claim = replace(found, token=token, owner=owner, entry=found.entry if file.size else None)
                if file.path.name != found.partial:
                    claim = replace(claim, partial=file.path.name)
            else:
                file = Partial.create(self._blobs.partial_path(token))
                claim = Claim(key, token, owner, token)
            try:
                db.execute(
                    "INSERT OR REPLACE INTO flights VALUES (?, ?, ?, ?, ?, ?)",
                    (key, token, owner, claim.partial, _text(claim.entry), now),
                )
            except BaseException:
                file.release()
                raise
        return Won(claim, file)

    def _inherit(self, found: Claim) -> Partial | None:
        """The dead leader's file, or a new one in its place; None while the leader lives."""
        try:
            return Partial.take_over(self._blobs.partial_path(found.partial))
        except FileNotFoundError:
            return Partial.create(self._blobs.partial_path(secrets.token_hex(8)))

    def record(self, claim: Claim, entry: Entry) -> bool:
        """Note the head of what is being downloaded, so that a successor can resume it."""
        with self._database.write() as db:
            changed = db.execute(
                "UPDATE flights SET entry = ? WHERE key = ? AND token = ?",
                (_text(entry), claim.key, claim.token),
            )
            return changed.rowcount == 1

    def store(self, claim: Claim, entry: Entry, file: Partial) -> Entry | None:
        """Commit a whole body under its digest and end the claim; None when the claim is not current.

        The blob is in its place before the row that names it, both inside one transaction.
        """
        now = time.time()
        with self._database.write() as db:
            if not db.execute(
                "DELETE FROM flights WHERE key = ? AND token = ?", (claim.key, claim.token)
            ).rowcount:
                return None
            self._blobs.keep(file.path, entry.digest)
            return replace(entry, id=insert_entry(db, entry, now))

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
        """Keys of claimed flights and when they were claimed (epoch seconds)."""
        return self._database.read().execute("SELECT key, started FROM flights ORDER BY started").fetchall()

    def sweep(self, *, unused_since: float, unlink_twin: Callable[[str], None]) -> int:
        """Remove the leavings of dead leaders; gives how many files went.

        A partial file without a row, or not written since `unused_since` (epoch seconds), has no
        successor to expect. One with a second name died between naming the blob and committing the
        row: the twin goes as well, unless a row names it.
        """
        count = 0
        for token in list(self._blobs.partial_tokens()):
            with contextlib.suppress(FileNotFoundError):
                count += self._sweep_one(token, unused_since, unlink_twin)
        return count

    def _sweep_one(self, token: str, unused_since: float, unlink_twin: Callable[[str], None]) -> int:
        path = self._blobs.partial_path(token)
        with self._database.write() as db:
            file = Partial.take_over(path)
            if file is None:
                return 0
            status = path.stat()
            row = db.execute("SELECT key FROM flights WHERE partial = ?", (token,)).fetchone()
            if row and status.st_nlink == 1 and status.st_mtime >= unused_since:
                file.release()
                return 0
            if status.st_nlink > 1:
                digest = file.digest()
                if not db.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone():
                    unlink_twin(digest)
            db.execute("DELETE FROM flights WHERE partial = ?", (token,))
            file.discard()
        return 1


def _text(entry: Entry | None) -> str | None:
    return None if entry is None else json.dumps(row_of(entry))


def _entry(text: str | None) -> Entry | None:
    return None if text is None else entry_from(json.loads(text))
