"""Opens SQLite connections to the index, with the settings that all of them have."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from pyproxycache.net.descriptors import make_sure_of
from pyproxycache.store.sqlite import priority
from pyproxycache.store.sqlite.schema import WATCHES

PAGE_SIZE = 4096
"""Bytes of a page of the database, SQLite's default."""

# Small, because the kernel has the file's pages as well, once for all processes; mapped they would count
# for each connection. Whoever commits does not write pages back (`settle` does), unless nobody else has.
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA cache_size = -128",
    "PRAGMA mmap_size = 0",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = OFF",  # it is written anew where it is freed, on some systems
)
_FOR_A_CONNECTION = 3  # descriptors
# What a transaction changes is not to be written before its end.
_WRITERS_CACHE = "PRAGMA cache_size = -8192"


def connect(path: Path, most_log: int) -> sqlite3.Connection:
    """Open the database for reading; its commits shorten a log of more than `most_log` bytes.

    Raises sqlite3.Error.
    """
    make_sure_of(_FOR_A_CONNECTION)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file only
    for pragma in _PRAGMAS:
        connection.execute(pragma)
    connection.execute(f"PRAGMA wal_autocheckpoint = {most_log // PAGE_SIZE}")
    connection.execute(f"PRAGMA journal_size_limit = {most_log}")
    return connection


def prepare_writer(connection: sqlite3.Connection, note_change: Callable[[str], None]) -> None:
    """Let a connection write: `note_change` is called with each key that a transaction changes.

    Its statements also know what entries are worth.
    """
    connection.execute(_WRITERS_CACHE)
    priority.teach(connection)
    connection.create_function("note_change", 1, note_change)
    for statement in WATCHES:
        connection.execute(statement)
