"""Sets a damaged index aside, whole, for an operator to look at; a new one is made in its place."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

from pyproxycache.errors import StoreError

log = logging.getLogger("pyproxycache.store")

ASIDE = "damaged"
_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

Identity = tuple[int, int]


class DamagedRow(StoreError):
    """A row holds values that this program never writes: the index is damaged."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error says that the file is damaged or is no SQLite file."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF in _CODES or code == sqlite3.SQLITE_IOERR_SHORT_READ)


def identity(path: Path) -> Identity | None:
    """Device and inode of the file that has the name now; None if there is none, or it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def set_aside(index: Path) -> None:
    """Rename the index and its log, in place of those set aside before. Raises OSError.

    To be called with the write lock held. Processes that have it open use it until they open it anew.
    """
    for suffix in ("", "-wal"):
        path = index.with_name(f"{index.name}{suffix}")
        aside = path.with_name(f"{index.name}.{ASIDE}{suffix}")
        aside.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside)
    index.with_name(f"{index.name}-shm").unlink(missing_ok=True)
    log.error("the index is damaged: it is now %s.%s, and a new one is made", index, ASIDE)
