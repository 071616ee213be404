"""The backends that the contract suite runs on: each opens stores, and harms what they stand on.

Another backend is one more class here and one more line in `BACKENDS`.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pyproxycache.options import Share, StoreOptions
from pyproxycache.store.flights.flights import LocalFlights
from pyproxycache.store.flights.remote_reader import Terms
from pyproxycache.store.ports import Bodies, EntryIndex, Flights, Room, StatedDigests
from pyproxycache.wiring.stored import open_store

_PLACE = "(SELECT place FROM blobs WHERE digest = ?)"


@dataclass(frozen=True)
class Limits:
    """`max_size`: bytes; `silence` and `lease`: seconds after which a leader that lives loses its key."""

    max_size: int | None = None
    silence: float = 60.0
    lease: float = 60.0


@dataclass(frozen=True)
class OpenedStore:
    """The ports of one opened store."""

    index: EntryIndex
    stated: StatedDigests
    bodies: Bodies
    room: Room
    flights: Flights
    close: Callable[[], None]


class Backend(Protocol):
    """Stores that share their contents, whoever opens them, and ways to harm these."""

    def __init__(self, folder: Path) -> None: ...

    def open(self, limits: Limits) -> OpenedStore:
        """Open the store once more, in this process."""

    def corrupt(self, digest: str) -> None:
        """Change a stored body's bytes, but not its size."""

    def cut_short(self, digest: str) -> None:
        """Take a stored body's last byte away."""

    def lose(self, digest: str) -> None:
        """Remove a stored body behind the store's back."""

    def take_away(self) -> None:
        """Make what the stores stand on unreachable, while they are open."""


class SqliteAndFiles:
    """Entries and small bodies in SQLite, larger bodies in files, for the processes of one machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "cache"

    def open(self, limits: Limits) -> OpenedStore:
        # No reserve: how full the machine's disk is is not the tests' business.
        options = StoreOptions(path=self._folder, max_size=limits.max_size, reserve=Share())
        store = open_store(options)
        flights = LocalFlights(store.claims, Terms(limits.silence, limits.lease))

        def close() -> None:
            flights.close()
            store.database.close()

        return OpenedStore(store.index, store.stated, store.bodies, store.space, flights, close)

    def corrupt(self, digest: str) -> None:
        self._change(digest, lambda body: bytes(255 - byte for byte in body))

    def cut_short(self, digest: str) -> None:
        self._change(digest, lambda body: body[:-1])

    def lose(self, digest: str) -> None:
        if self._file(digest).exists():
            self._file(digest).unlink()
        else:
            self._execute("UPDATE blobs SET place = NULL WHERE digest = ?", digest)

    def take_away(self) -> None:
        shutil.rmtree(self._folder)
        self._folder.write_text("no folder")

    def _file(self, digest: str) -> Path:
        return self._folder / "blobs" / digest[:2] / digest

    def _change(self, digest: str, change: Callable[[bytes], bytes]) -> None:
        path = self._file(digest)
        if path.exists():
            path.write_bytes(change(path.read_bytes()))
            return
        ((body,),) = self._execute(f"SELECT content FROM small_bodies WHERE place = {_PLACE}", digest)
        self._execute(f"UPDATE small_bodies SET content = ? WHERE place = {_PLACE}", change(body), digest)

    def _execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """With the index, where small bodies are."""
        with closing(sqlite3.connect(self._folder / "index.sqlite")) as db, db:
            return db.execute(statement, values).fetchall()


BACKENDS: tuple[type[Backend], ...] = (SqliteAndFiles,)
