"""Who may lead a flight: a lock for each claim, and a row for what outlives its leader."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import replace

from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.bodies.commits import Commit, Commits
from pyproxycache.store.bodies.partial import Partial
from pyproxycache.store.files.claim_locks import ClaimLocks, Place
from pyproxycache.store.flights import flight_rows
from pyproxycache.store.flights.flight_rows import Claim, Taken, Won
from pyproxycache.store.ports import NotStorable
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.schema import OF_CLAIMS
from pyproxycache.store.values import RecordedFlight, Stamp


class Claims:
    """Gives and ends claims on flight keys; all processes that share the cache folder see the same ones."""

    def __init__(self, database: Database, blobs: Blobs, commits: Commits) -> None:
        self._database = database
        self._blobs = blobs
        self._commits = commits
        self._locks: ClaimLocks | None = None

    @property
    def locks(self) -> ClaimLocks:
        """The locks of claims. Raises StoreError where their file cannot be used."""
        if self._locks is None:
            self._locks = self._database.claim_locks
        return self._locks

    def claim(self, key: FlightKey, token: str, now: float) -> Won | Taken | NotStorable:
        """Claim the key at the time `now`, unless a leader lives or the key is not storable.

        `token` names the claim, and no other has had it. A successor gets what the dead leader left; where
        there is nothing left, nothing is written. Raises StoreError.
        """
        locks = self.locks
        while True:
            place = locks.place(key)
            if not locks.take(place):
                claim = self._led(key, place)
                if claim is not None:
                    return Taken(claim)
                continue  # it has just ended
            won: Won | Taken | NotStorable | None = None
            try:
                until, is_left = self._known(key)
                if until is not None and until > now:
                    won = NotStorable()
                else:
                    claim = Claim(key, token, locks.address(os.getpid()), place)
                    won = self._succeed(claim, now) if is_left else Won(claim)
                return won
            finally:
                if not isinstance(won, Won):
                    locks.release(place)

    def _known(self, key: FlightKey) -> tuple[float | None, bool]:
        """Until when the key is not storable (epoch seconds, or None), and whether a flight has a row."""
        if self._database.versions.is_untouched(f"{OF_CLAIMS}{key.cache_key}"):
            return None, False
        with self._database.read() as db:
            return flight_rows.known(db, key)

    def leader(self, key: FlightKey) -> Claim | None:
        """The claim of the living leader of the key; None if there is none. Raises StoreError."""
        return self._led(key, self.locks.place(key))

    def _led(self, key: FlightKey, place: Place) -> Claim | None:
        """The claim of the process that has locked the place, with file and head if it has a row."""
        pid = self.locks.holder(place)
        with self._database.read() as db:
            found = flight_rows.find(db, key)
        if pid is None:
            # A claim of an earlier epoch, which another key's purge ended, is current while it has a row.
            is_current = found is not None and self._is_writing(found)
            return replace(found, place=place) if found is not None and is_current else None
        owner = self.locks.address(pid)
        if found is not None and found.owner == owner:
            return replace(found, place=place)
        return Claim(key, "", owner, place)

    def _is_writing(self, claim: Claim) -> bool:
        # In a transaction: a claim at this moment must not find a dead leader's file locked by us.
        with self._database.write():
            return self._is_locked(claim.partial)

    def _succeed(self, claim: Claim, now: float) -> Won | Taken:
        """Win the claim, with the file and head that a dead leader left if the body can be continued."""
        with self._database.write() as db:
            found = flight_rows.find(db, claim.key)
            if found is None:
                return Won(claim)
            file: Partial | None = None
            with contextlib.suppress(FileNotFoundError):
                file = Partial.take_over(self._blobs.partial_path(found.partial))
                if file is None:
                    return Taken(replace(found, place=claim.place))
            if file is not None and file.size and not file.is_blob:
                claim = replace(claim, partial=found.partial, entry=found.entry)
                flight_rows.put(db, claim, now)
                return Won(claim, file)
            # An empty file; or its leader died between naming the blob and committing the row.
            flight_rows.remove(db, claim.key)
            return Won(claim)

    def is_current(self, claim: Claim) -> bool:
        """Whether the claim was neither purged nor taken from its leader for silence. Raises StoreError."""
        if self.locks.is_current(claim.place):
            return True
        # The purge may have been another key's: then the row decides, if there is one.
        with self._database.read() as db:
            found = flight_rows.find(db, claim.key) if claim.partial else None
        return found is not None and found.token == claim.token

    def end_silent(self, claim: Claim) -> None:
        """Take the key from a leader that lives but is silent or makes no progress; it keeps its file."""
        with self._database.write() as db:
            if self.locks.is_current(claim.place):
                flight_rows.remove(db, claim.key)
                self.locks.begin_epoch(claim.key.cache_key)

    def open_file(self, claim: Claim, now: float) -> Partial:
        """Make the file for the body, and the row that leads a successor to it; `now` in epoch seconds.

        In a transaction, so that no sweep sees the file unlocked. Raises StoreError.
        """
        with self._database.write() as db:
            file = Partial.create(self._blobs.partial_path(claim.partial))
            try:
                if self.locks.is_current(claim.place):
                    flight_rows.put(db, claim, now)
            except BaseException:
                file.discard()
                raise
            return file

    def new_file(self, name: str) -> Partial:
        """Make another file, for a body that begins anew. Raises StoreError.

        In a transaction, so that no sweep sees the file unlocked.
        """
        with self._database.write():
            return Partial.create(self._blobs.partial_path(name))

    def record(self, claim: Claim) -> bool:
        """Note the claim's head and file for a successor; False where the claim has no row any more."""
        with self._database.write() as db:
            return flight_rows.update(db, claim)

    def store(self, claim: Claim, entry: Entry, body: Partial | bytes) -> int | None:
        """Commit a whole body under its digest and end the claim; gives the entry's id.

        None where the claim is not current. Raises StoreError, and then the claim lasts.
        """
        stored = self._commits.store(Commit(entry, body, claim.token, lambda db: self._end(db, claim)))
        self.locks.release(claim.place)
        return stored

    def _end(self, db: sqlite3.Connection, claim: Claim) -> bool:
        """Remove the claim's row, if it has one; gives whether the claim was current."""
        if claim.partial:
            return flight_rows.remove(db, claim.key, claim.token)
        return self.locks.is_current(claim.place)

    def finish(self, claim: Claim, *, not_storable_until: float | None = None) -> None:
        """End the claim with nothing stored. Raises StoreError.

        With `not_storable_until` (epoch seconds) the key is not storable until then.
        """
        try:
            if claim.partial or not_storable_until is not None:
                with self._database.write() as db:
                    self._end(db, claim)
                    if not_storable_until is not None:
                        flight_rows.refuse(db, claim.key, not_storable_until)
        finally:
            self.locks.release(claim.place)

    def lift(self, key: FlightKey) -> None:
        """Forget that the key is not storable."""
        with self._database.write() as db:
            flight_rows.lift(db, key)

    def leave(self, claim: Claim) -> None:
        """End the claim, but keep its row, which leads a successor to what there is."""
        self.locks.release(claim.place)

    def recorded(self, key: str) -> list[RecordedFlight]:
        """All flights of the cache key whose heads are recorded, whatever they vary on, of the dead too."""
        if self._database.versions.is_untouched(f"{OF_CLAIMS}{key}"):
            return []
        with self._database.read() as db:
            heads = flight_rows.heads(db, key)
        return [
            RecordedFlight(head.key, head.entry, self._arrived(head.partial), self._is_led(head.key))
            for head in heads
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
        """A version that changes whenever the head of a flight of the cache key is recorded."""
        return self._database.versions.stamp(f"{OF_CLAIMS}{key}")

    def running(self) -> list[tuple[str, float]]:
        """Cache keys of the bodies that are arriving, and since when (epoch seconds)."""
        rows = self._database.select("SELECT cache_key, started, partial FROM flights ORDER BY started")
        return [(key, started) for key, started, partial in rows if self._is_locked(partial)]

    def _is_locked(self, partial: str) -> bool:
        try:
            return Partial.take_over(self._blobs.partial_path(partial)) is None
        except FileNotFoundError:
            return False
