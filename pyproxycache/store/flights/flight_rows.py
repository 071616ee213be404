"""The rows of the tables `flights` and `not_storable`: what outlives the leader of a flight.

Each function works in the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from pyproxycache.messages import Entry
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.bodies.partial import Partial
from pyproxycache.store.files.claim_locks import NOWHERE, Place
from pyproxycache.store.index.rows import entry_as_text, entry_from_text
from pyproxycache.store.sqlite.damage import DamagedRow

_OF_KEY = "cache_key = ? AND variant = ?"
_FIND = f"SELECT token, owner, partial, entry FROM flights WHERE {_OF_KEY}"
_KNOWN = (
    f"SELECT (SELECT until FROM not_storable WHERE {_OF_KEY}),"
    f" EXISTS (SELECT 1 FROM flights WHERE {_OF_KEY})"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to lead a flight: `token` names this leadership, `owner` the address of its process.

    `place` is where the claim is locked. `partial` names the file that the body grows in, "" while there is
    none; with it comes a row in `flights`. `entry` is the response that is being stored, as the row has it.
    """

    key: FlightKey
    token: str
    owner: str
    place: Place = NOWHERE
    partial: str = ""
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class Won:
    """The claim is this process's; `file` has the beginning of the body, if a dead leader left one."""

    claim: Claim
    file: Partial | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """The claim is another leader's, who lives."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class RecordedHead:
    """The head that a flight's row has, and the name of the file that its body grows in."""

    key: FlightKey
    entry: Entry
    partial: str


def put(db: sqlite3.Connection, claim: Claim, now: float) -> None:
    """Give the claim its row, in place of that of the leader before it."""
    row = (*_columns(claim.key), claim.token, claim.owner, claim.partial, _text(claim.entry), now)
    db.execute("INSERT OR REPLACE INTO flights VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def find(db: sqlite3.Connection, key: FlightKey) -> Claim | None:
    """The claim in the key's row, without its `place`; None if there is no row. Its leader may be dead."""
    row = db.execute(_FIND, _columns(key)).fetchone()
    if row is None:
        return None
    token, owner, partial, entry = row
    return Claim(key, token, owner, partial=partial, entry=_entry(entry))


def update(db: sqlite3.Connection, claim: Claim) -> bool:
    """Write the claim's head and file to its row; False if the row is another claim's, or gone."""
    changed = db.execute(
        f"UPDATE flights SET entry = ?, partial = ? WHERE {_OF_KEY} AND token = ?",
        (_text(claim.entry), claim.partial, *_columns(claim.key), claim.token),
    )
    return changed.rowcount == 1


def remove(db: sqlite3.Connection, key: FlightKey, token: str | None = None) -> bool:
    """Remove the key's row, with a `token` only if it is that claim's; gives whether it was removed."""
    if token is None:
        return db.execute(f"DELETE FROM flights WHERE {_OF_KEY}", _columns(key)).rowcount == 1
    gone = db.execute(f"DELETE FROM flights WHERE {_OF_KEY} AND token = ?", (*_columns(key), token))
    return gone.rowcount == 1


def known(db: sqlite3.Connection, key: FlightKey) -> tuple[float | None, bool]:
    """Until when the key is not storable (epoch seconds, None: it is), and whether a flight has a row."""
    ((until, is_left),) = db.execute(_KNOWN, (*_columns(key), *_columns(key))).fetchall()
    return until, bool(is_left)


def heads(db: sqlite3.Connection, cache_key: str) -> list[RecordedHead]:
    """The heads of all flights under the cache key, whatever they vary on. Raises DamagedRow."""
    rows = db.execute("SELECT variant, entry, partial FROM flights WHERE cache_key = ?", (cache_key,))
    found = [
        (_key(cache_key, variant), _entry(entry), partial) for variant, entry, partial in rows.fetchall()
    ]
    return [RecordedHead(key, entry, partial) for key, entry, partial in found if entry is not None]


def refuse(db: sqlite3.Connection, key: FlightKey, until: float) -> None:
    """Note that the key is not storable `until` then (epoch seconds)."""
    db.execute("INSERT OR REPLACE INTO not_storable VALUES (?, ?, ?)", (*_columns(key), until))


def lift(db: sqlite3.Connection, key: FlightKey) -> None:
    """Forget that the key is not storable."""
    db.execute(f"DELETE FROM not_storable WHERE {_OF_KEY}", _columns(key))


def has_file(db: sqlite3.Connection, partial: str) -> bool:
    """Whether a flight's row leads to the partial file of this name."""
    return db.execute("SELECT 1 FROM flights WHERE partial = ?", (partial,)).fetchone() is not None


def remove_of_file(db: sqlite3.Connection, partial: str) -> None:
    """Remove the row that leads to the partial file of this name, if there is one."""
    db.execute("DELETE FROM flights WHERE partial = ?", (partial,))


def lift_expired(db: sqlite3.Connection, now: float) -> None:
    """Forget which keys were not storable until a time before `now` (epoch seconds)."""
    db.execute("DELETE FROM not_storable WHERE until < ?", (now,))


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
