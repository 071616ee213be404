"""A file that only takes room, to be given back when the disk has no byte left for making some."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_LEAST, _MOST = 1 << 20, 16 << 20
_SHARE = 100


class Ballast:
    """A file whose room is given back on a full disk, as the index needs some to remove an entry."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    def release(self) -> bool:
        """Give the file's room to the disk; false if the file was not there."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def restock(self, spare: int, capacity: int) -> None:
        """Make the file, if it is not there: a hundredth of `capacity`, if `spare` is twice that."""
        size = min(_MOST, max(_LEAST, capacity // _SHARE))
        if spare < 2 * size or self._path.exists():
            return
        # An error is of no consequence: there is no ballast then.
        with contextlib.suppress(OSError):
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
            except OSError:
                self.release()
            finally:
                os.close(fd)
