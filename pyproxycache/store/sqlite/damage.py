"""Sets a damaged index aside, whole, for an operator to look at; a new one is made in its place."""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pyproxycache.errors import StoreError

log = logging.getLogger("pyproxycache.store")

ASIDE = "damaged"
_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# The statements are ours, and so was the schema; texts were written as UTF-8.
_NOT_AS_WRITTEN = re.compile(r"no such (table|column): |Could not decode to UTF-8")

T = TypeVar("T")

Identity = tuple[int, int]


class DamagedRow(StoreError):
    """A row holds values that this program never writes: the index is damaged."""


def is_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Whether the error says that the file is not what was written to it, or is no SQLite file."""
    if isinstance(error, UnicodeDecodeError):  # of a message that quotes the file
        return True
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and (code & 0xFF in _CODES or code == sqlite3.SQLITE_IOERR_SHORT_READ):
        return True
    return _NOT_AS_WRITTEN.match(str(error)) is not None


def as_written(values: Sequence[Any], kind: type[T]) -> T:
    """The values as this program writes them; one flipped bit makes others of them. Raises DamagedRow."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise DamagedRow(f"a row is none of ours: {error}") from error


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
