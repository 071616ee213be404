"""Stored times after the clock was set: what lies in the future, and what only looks unused."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pyproxycache import clock
from pyproxycache.store.sqlite.database import Database
from pyproxycache.store.sqlite.short_transactions import PAGE, in_short_transactions

log = logging.getLogger("pyproxycache.store")

_LEAST = 5.0
"""Seconds; a smaller step is none."""
_DAY = 86400.0
_FACT = "clock"
_LATER = "SELECT 1 FROM accesses CROSS JOIN entries ON id = entry WHERE accesses.accessed > ? LIMIT 1"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ClockReading(NamedTuple):
    """What the clock shows (epoch seconds), and how long ago the machine was started.

    `boot` names that start; "" where it is not known, which is no other's name.
    """

    wall: float
    since_boot: float
    boot: str

    @property
    def booted(self) -> float:
        """When the machine was started, as the clock has it: changes when somebody sets the clock."""
        return self.wall - self.since_boot


def reading() -> ClockReading:
    """What the clock shows at this moment."""
    return ClockReading(clock.wall(), clock.since_boot(), boot_id())


def boot_id(told: Path = _BOOT_ID) -> str:
    """The kernel's name for this run of the machine; "" where /proc hides it."""
    try:
        return told.read_text().strip()
    except OSError:
        return ""


class ClockChanges:
    """Notices that the clock was set, once for all processes, and mends the times that are stored.

    The clock reading that the stored times go by is in the table `facts`. Belongs to one thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: ClockReading | None = None

    def look(self, now: ClockReading | None = None) -> None:
        """Correct the stored times if the clock was set since the last look; raises StoreError.

        `now`: the clock reading to go by (None: the present one).
        """
        now = now or reading()
        if self._known is not None and abs(now.booted - self._known.booted) < _LEAST:
            return
        change = self._take_over(now)
        self._known = now  # and not before: where the index is locked, the change is mended later
        if change is None:
            self._let_access_end(now.wall)
        elif abs(change) >= _LEAST:
            log.warning("the clock was set by %+d seconds: stored times are mended", change)
            with self._database.write() as db:
                db.execute("DELETE FROM not_storable")
                if abs(change) >= _DAY:
                    # What was stated may have been forgotten as too old: each is read again once validated.
                    db.execute("UPDATE documents SET read = 0 WHERE read > 0")
                    db.execute("DELETE FROM mismatches WHERE time > ?", (now.wall,))
            self._mend(now.wall, change)

    def _take_over(self, now: ClockReading) -> float | None:
        """Seconds by which the clock was set since a process looked; None if the machine started since."""
        with self._database.write() as db:
            found = db.execute("SELECT value FROM facts WHERE name = ?", (_FACT,)).fetchone()
            boot, _, booted = found[0].partition(" ") if found else ("", "", "")
            change = now.booted - float(booted) if boot and boot == now.boot else None
            if change is None or abs(change) >= _LEAST:
                value = f"{now.boot} {now.booted}"
                db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (_FACT, value))
        return change

    def _let_access_end(self, now: float) -> None:
        """Set access times later than `now` to it, as those entries would never count as unused."""
        if self._database.select(_LATER, (now + _LEAST,)):
            self._mend(now, 0.0)

    def _mend(self, now: float, change: float) -> None:
        """Correct access times and, after a step back, the times of responses.

        Access times go forward with the clock, but not beyond `now`. A response that was received later
        than `now` has an unknown age, and gets 0 for its times so that it stays unknown when that time
        comes.
        """
        forward, came_too_late = max(0.0, change), change < 0

        def mend(db: sqlite3.Connection, rows: Sequence[tuple[int, float, float]]) -> int:
            accesses = [(min(accessed + forward, now), id) for id, accessed, _came in rows]
            db.executemany("UPDATE entries SET accessed = ? WHERE id = ?", accesses)
            late = [(id,) for id, _accessed, came in rows if came_too_late and came > now + _LEAST]
            db.executemany("UPDATE entries SET request_time = 0, response_time = 0 WHERE id = ?", late)
            return len(rows)

        for page in self._pages(now if not forward else None):
            in_short_transactions(self._database, page, mend)

    def _pages(self, since: float | None) -> Iterator[list[tuple[int, float, float]]]:
        """Id, last access and arrival of the entries, or of those with one of these later than `since`."""
        condition = "" if since is None else "AND (accessed > :since OR response_time > :since)"
        statement = f"SELECT id, accessed, response_time FROM entries WHERE id > :id {condition}"
        id = 0
        while page := self._database.select(
            f"{statement} ORDER BY id LIMIT {PAGE}", {"id": id, "since": since}
        ):
            yield [(row[0], row[1], row[2]) for row in page]
            id = page[-1][0]
