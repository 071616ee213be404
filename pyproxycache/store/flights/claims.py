"""Who downloads what: a lock for each claim, and a row once there is something that outlives its leader."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass, replace

from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.bodies.commits import Commit, Commits
from pyproxycache.store.bodies.partial import Partial
from pyproxycache.store.files.claim_locks import NOWHERE, ClaimLocks, Place
from pyproxycache.store.files.footprint import LARGEST_IN_INDEX
from pyproxycache.store.index.database import Database
from pyproxycache.store.index.rows import DamagedRow, entry_as_text, entry_from_text
from pyproxycache.store.index.schema import OF_CLAIMS
from pyproxycache.store.ports import NotStorable
from pyproxycache.store.values import RecordedFlight, Stamp

_OF_KEY = "cache_key = ? AND variant = ?"
_KNOWN = (
    f"SELECT (SELECT until FROM not_storable WHERE {_OF_KEY}),"
    f" EXISTS (SELECT 1 FROM flights WHERE {_OF_KEY})"
)
_BESIDE = "SELECT variant, partial, entry FROM flights WHERE cache_key = ?"


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed flight: `token` names this leadership, `owner` is where its process is asked for it.

    `place` is the claim's lock. With a `partial`, the growing file, there may be a row as well, for both
    outlive the leader; `entry` is the response being stored, as the row has it.
    """

    key: FlightKey
    token: str
    owner: str
    place: Place = NOWHERE
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


class Claims:
    """The locks of claims, and the flights and not_storable tables."""

    def __init__(self, database: Database, blobs: Blobs, largest_in_index: int = LARGEST_IN_INDEX) -> None:
        self._database = database
        self._blobs = blobs
        self._commits = Commits(database, blobs, largest_in_index)
        self._locks: ClaimLocks | None = None

    @property
    def locks(self) -> ClaimLocks:
        """Raises StoreError where their file cannot be used."""
        if self._locks is None:
            self._locks = self._database.claim_locks
        return self._locks

    def claim(self, key: FlightKey, token: str, now: float) -> Won | Taken | NotStorable:
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
                until, is_left = self._said_of(key)
                if until is not None and until > now:
                    won = NotStorable()
                else:
                    claim = Claim(key, token, locks.address(os.getpid()), place)
                    won = self._succeed(claim, now) if is_left else Won(claim)
                return won
            finally:
                if not isinstance(won, Won):
                    locks.release(place)

    def _said_of(self, key: FlightKey) -> tuple[float | None, bool]:
        """Until when the key is not storable, and whether a download has left its row."""
        versions = self._database.versions
        if versions.is_untouched(f"{OF_CLAIMS}{key.cache_key}"):
            return None, False
        ((until, is_left),) = self._database.select(_KNOWN, (*_columns(key), *_columns(key)))
        return until, bool(is_left)

    def leader(self, key: FlightKey) -> Claim | None:
        """Who lives and leads the key."""
        return self._led(key, self.locks.place(key))

    def _led(self, key: FlightKey, place: Place) -> Claim | None:
        """What the process that has the lock is doing, as far as it has told."""
        pid = self.locks.holder(place)
        with self._database.read() as db:
            found = _found(db, key)
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
            db.execute(f"DELETE FROM flights WHERE {_OF_KEY}", _columns(claim.key))
            return Won(claim)

    def is_current(self, claim: Claim) -> bool:
        """Whether nobody has purged it, nor found it silent for too long."""
        if self.locks.is_current(claim.place):
            return True
        # The epoch may have been another key's, or all keys': then the row counts, if there is one.
        with self._database.read() as db:
            found = _found(db, claim.key) if claim.partial else None
        return found is not None and found.token == claim.token

    def end_silent(self, claim: Claim) -> None:
        """A leader that lives but does not get on keeps its file, and loses the key."""
        with self._database.write() as db:
            if self.locks.is_current(claim.place):
                db.execute(f"DELETE FROM flights WHERE {_OF_KEY}", _columns(claim.key))
                self.locks.begin_epoch(claim.key.cache_key)

    def open_file(self, claim: Claim, now: float) -> Partial:
        """A file for the body, and the row that leads a successor to it.

        In a transaction, so that no sweep sees it unlocked.
        """
        with self._database.write() as db:
            file = Partial.create(self._blobs.partial_path(claim.partial))
            try:
                if self.locks.is_current(claim.place):
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
                f"UPDATE flights SET entry = ?, partial = ? WHERE {_OF_KEY} AND token = ?",
                (_text(claim.entry), claim.partial, *_columns(claim.key), claim.token),
            )
            return changed.rowcount == 1

    def store(self, claim: Claim, entry: Entry, body: Partial | bytes) -> int | None:
        """Commit a whole body under its digest and end the claim; gives the entry's id.

        None when the claim is not current. Raises StoreError, and the claim stays.
        """
        stored = self._commits.store(Commit(entry, body, claim.token, lambda db: self._end(db, claim)))
        self.locks.release(claim.place)
        return stored

    def _end(self, db: sqlite3.Connection, claim: Claim) -> bool:
        """Take the claim out of the table; whether it was current."""
        if claim.partial:
            ended = db.execute(
                f"DELETE FROM flights WHERE {_OF_KEY} AND token = ?", (*_columns(claim.key), claim.token)
            )
            return ended.rowcount == 1
        return self.locks.is_current(claim.place)

    def finish(self, claim: Claim, *, not_storable_until: float | None = None) -> None:
        """End the claim with nothing stored; with a time, remember the key as not storable until then."""
        try:
            if claim.partial or not_storable_until is not None:
                with self._database.write() as db:
                    self._end(db, claim)
                    if not_storable_until is not None:
                        db.execute(
                            "INSERT OR REPLACE INTO not_storable VALUES (?, ?, ?)",
                            (*_columns(claim.key), not_storable_until),
                        )
        finally:
            self.locks.release(claim.place)

    def lift(self, key: FlightKey) -> None:
        """Forget that the key is not storable."""
        with self._database.write() as db:
            db.execute(f"DELETE FROM not_storable WHERE {_OF_KEY}", _columns(key))

    def leave(self, claim: Claim) -> None:
        """Let go of the claim; its row leads a successor to what there is."""
        self.locks.release(claim.place)

    def forget_expired(self, now: float) -> None:
        """Drop not_storable rows whose time is over."""
        with self._database.write() as db:
            db.execute("DELETE FROM not_storable WHERE until < ?", (now,))

    def recorded(self, key: str) -> list[RecordedFlight]:
        """All flights of the cache key whose heads are recorded, whatever they vary on, of the dead too."""
        if self._database.versions.is_untouched(f"{OF_CLAIMS}{key}"):
            return []
        with self._database.read() as db:
            rows = db.execute(_BESIDE, (key,)).fetchall()
            heads = [(_key(key, variant), partial, _entry(entry)) for variant, partial, entry in rows]
        return [
            RecordedFlight(flight, entry, self._arrived(partial), self._is_led(flight))
            for flight, partial, entry in heads
            if entry is not None
        ]

    def _is_led(self, key: FlightKey) -> bool:
        return self.locks.holder(self.locks.place(key)) is not None

    def _arrived(self, partial: str) -> int:
        """Bytes of the body that are in its file; 0 where that is gone, or out of reach."""
        try:
            return self._blobs.partial_path(partial).stat().st_size
        except OSError:
            return 0

    def stamp(self, key: str) -> Stamp | None:
        """What changes whenever a flight of the cache key is recorded."""
        return self._database.versions.stamp(f"{OF_CLAIMS}{key}")

    def running(self) -> list[tuple[str, float]]:
        """Cache keys of bodies that are coming in, and since when (epoch seconds)."""
        rows = self._database.select("SELECT cache_key, started, partial FROM flights ORDER BY started")
        return [(key, started) for key, started, partial in rows if self._is_locked(partial)]

    def sweep(self, *, unused_since: float) -> int:
        """Remove what dead leaders left and nobody goes on with, as Commits.sweep has it."""
        return self._commits.sweep(unused_since=unused_since)

    def _is_locked(self, partial: str) -> bool:
        try:
            return Partial.take_over(self._blobs.partial_path(partial)) is None
        except FileNotFoundError:
            return False


def _put(db: sqlite3.Connection, claim: Claim, now: float) -> None:
    row = (*_columns(claim.key), claim.token, claim.owner, claim.partial, _text(claim.entry), now)
    db.execute("INSERT OR REPLACE INTO flights VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def _found(db: sqlite3.Connection, key: FlightKey) -> Claim | None:
    statement = f"SELECT token, owner, partial, entry FROM flights WHERE {_OF_KEY}"
    row = db.execute(statement, _columns(key)).fetchone()
    return _claim(key, *row) if row else None


def _claim(key: FlightKey, token: str, owner: str, partial: str, entry: str | None) -> Claim:
    return Claim(key, token, owner, partial=partial, entry=_entry(entry))


def _columns(key: FlightKey) -> tuple[str, str]:
    return key.cache_key, key.variant


def _key(cache_key: str, variant: str) -> FlightKey:
    try:
        return FlightKey.of(cache_key, variant)
    except ValueError as error:
        raise DamagedRow(f"a row is none of ours: {error}") from error


def _text(entry: Entry | None) -> str | None:
    return None if entry is None else entry_as_text(entry)


def _entry(text: str | None) -> Entry | None:
    return None if text is None else entry_from_text(text)
