"""Makes the index's file smaller, a little at a time, so that other writers need not wait for long."""

from __future__ import annotations

import contextlib
import sqlite3

from pyproxycache.errors import NoSpace
from pyproxycache.store.sqlite.database import Database

_LOG_IN_USE = 1 << 20
_PAGES_AT_ONCE = 100
_SPARE_PAGES = 256  # stay for what comes next
_READERS_MS = 50


def page_bytes(database: Database) -> tuple[int, int]:
    """Bytes of the index's used pages, and of its empty ones; raises StoreError."""
    with database.read() as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        (free,) = db.execute("PRAGMA freelist_count").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    return (pages - free) * size, free * size


def compact(database: Database) -> None:
    """Give empty pages back to the disk, and cut a log short that has grown. Raises StoreError."""
    pages, is_shorter = _PAGES_AT_ONCE, False  # once the log is in the file, too
    while True:
        try:
            if not _give_back(database, pages):
                break
            is_shorter = True
        except NoSpace:
            if is_shorter:
                _cut_log(database)  # what it took, and what was given back, is room for more
                is_shorter = False
            elif pages > 1:
                pages = 1  # there may be room for so much of a log
            else:
                raise
    with contextlib.suppress(FileNotFoundError):
        if is_shorter or database.log_path.stat().st_size > _LOG_IN_USE:
            _cut_log(database)


def _give_back(database: Database, pages: int) -> bool:
    """Give so many empty pages back to the disk; gives whether that did anything."""
    with database.write(after_others=True) as db:
        (before,) = db.execute("PRAGMA freelist_count").fetchone()
        if before <= _SPARE_PAGES:
            return False
        for _ in range(min(pages, before - _SPARE_PAGES)):
            db.execute("PRAGMA incremental_vacuum(1)")  # of more, Python's module would do the first alone
        (after,) = db.execute("PRAGMA freelist_count").fetchone()
        return int(after) < int(before)


def _cut_log(database: Database) -> None:
    """Write the log back into the file and make it empty, unless somebody reads. Raises StoreError."""
    # Most of it while others write; then the rest with the write lock, waiting for readers a moment only.
    with database.read() as db:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    with database.alone(), contextlib.closing(sqlite3.connect(database.path)) as db:
        db.execute(f"PRAGMA busy_timeout = {_READERS_MS}")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
