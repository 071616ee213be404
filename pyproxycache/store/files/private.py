"""Keeps other users out of the cache's files: what is stored may be secret."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger("pyproxycache.store")

_OF_OTHERS = 0o077


def open_private(path: Path, flags: int = 0) -> int:
    """A descriptor of a file that its user alone may read, made if there is none; raises OSError.

    It gets the owner of its folder, because root may run a command on a service's cache first. `flags` are
    added to those of open(2).
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)
    try:
        folder = path.parent.stat()
        if os.geteuid() == 0 and os.fstat(fd).st_uid != folder.st_uid:
            os.fchown(fd, folder.st_uid, folder.st_gid)
    except BaseException:
        os.close(fd)
        raise
    return fd


def create_private(path: Path) -> None:
    """Make an empty file that its user alone may read, if there is none; raises OSError.

    One that is there is not opened: closing it would drop the locks that this process has on it.
    """
    with contextlib.suppress(FileExistsError):
        os.close(open_private(path, os.O_EXCL))


def keep_private(paths: Iterable[Path]) -> None:
    """Take all permissions of other users from these files and folders, with a line in the log for each."""
    for path in paths:
        try:
            mode = stat.S_IMODE(path.lstat().st_mode)
            if mode & _OF_OTHERS and not path.is_symlink():
                path.chmod(mode & ~_OF_OTHERS)
                log.warning("%s was open to others (mode %o): now it is its user's alone", path, mode)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("%s may be open to others, and cannot be closed to them: %s", path, error.strerror)


def is_ours_alone(folder: Path) -> bool:
    """Whether the folder is empty or a cache, so that nobody else has files in it."""
    names = {path.name for path in folder.iterdir()}
    return not names or "index.sqlite" in names
