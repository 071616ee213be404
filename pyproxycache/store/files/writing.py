"""Writes bytes to the disk, and makes its errors StoreErrors."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from pyproxycache.errors import NoSpace, StoreError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of the data at the offset; raises OSError."""
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        written += os.pwrite(fd, data[written:], offset + written)


@contextlib.contextmanager
def as_store_errors(path: Path) -> Iterator[None]:
    """Raise StoreError, with the path, where the block raises OSError."""
    try:
        yield
    except OSError as error:
        raise as_store_error(path, error) from error


def as_store_error(what: Path | str, error: OSError) -> StoreError:
    """The OSError as a StoreError whose text begins with `what`; NoSpace where the disk is full."""
    kind = NoSpace if error.errno in _NO_SPACE else StoreError
    return kind(f"{what}: {error.strerror}")
