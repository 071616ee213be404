"""The configuration of a running server, in a file in the cache folder for `config show --running`.

Each server has its own file. Its processes hold that locked (flock) while any of them lives, so the file of
a server that has ended is known as such, and the next server removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import dump

log = logging.getLogger("pyproxycache")

_NAMES = "running-*.yaml"


class Running:
    """Writes the configuration of this process's server; used by the master only, which has one thread."""

    def __init__(self) -> None:
        self._name = _NAMES.replace("*", secrets.token_hex(4))
        self._held: int | None = None

    def note(self, config: Config) -> None:
        """Write the configuration in place of the one before; an error is logged."""
        path = config.store.path / self._name
        new = path.with_suffix(".new")
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                with os.fdopen(fd, "w", encoding="utf-8", closefd=False) as file:
                    file.write(dump(config))
                _remove_ended(config.store.path)
                new.replace(path)
            except OSError:
                os.close(fd)
                new.unlink(missing_ok=True)
                raise
        except OSError as error:
            log.warning("`config show --running` will not know this server: %s", error)
            return
        if self._held is not None:
            os.close(self._held)
        self._held = fd


def running(folder: Path) -> str | None:
    """The configuration, as YAML, of a server that uses this cache folder; None if none runs.

    Of several servers, that of the one which started or reloaded last. Raises OSError, also if it is no
    text.
    """
    for path in _files(folder):
        with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
            if not _has_ended(file.fileno()):
                try:
                    return file.read()
                except UnicodeDecodeError as error:
                    raise OSError(errno.EILSEQ, "is not UTF-8 text", str(path)) from error
    return None


def _remove_ended(folder: Path) -> None:
    for path in _files(folder):
        with contextlib.suppress(FileNotFoundError), path.open() as file:
            # A server that reloads holds its last file until the next one has taken its place.
            if _has_ended(file.fileno()) and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                path.unlink()


def _files(folder: Path) -> Iterator[Path]:
    """The files of servers in the folder, the latest first; raises OSError."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.match(_NAMES):
                with contextlib.suppress(FileNotFoundError):
                    found.append((path.stat().st_mtime_ns, path))
    return (path for _written, path in sorted(found, reverse=True))


def _has_ended(fd: int) -> bool:
    """Whether no process of the server with this file lives."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
