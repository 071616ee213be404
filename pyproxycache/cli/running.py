"""The configuration that a running server has adopted, left in the cache's folder for those who ask.

The server's processes hold the file locked (flock) while any of them lives, so what a server that is gone
has left there is not taken for its word.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from pyproxycache.config import Config, dump

log = logging.getLogger("pyproxycache")

_NAME = "running.yaml"


class Running:
    """What the server of this process has adopted; used by the master alone, which has one thread."""

    def __init__(self) -> None:
        self._held: int | None = None

    def note(self, config: Config) -> None:
        """Leave the configuration for those who ask, in place of the one before."""
        path = config.store.path / _NAME
        new = path.with_name(f"{_NAME}.{os.getpid()}")
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                with os.fdopen(fd, "w", closefd=False) as file:
                    file.write(dump(config))
                new.replace(path)
            except OSError:
                os.close(fd)
                raise
        except OSError as error:
            log.warning("`config show --running` will not know this server: %s", error)
            return
        if self._held is not None:
            os.close(self._held)
        self._held = fd


def running(folder: Path) -> str | None:
    """The configuration in force, as YAML, of the server that uses this cache; None where none runs.

    Of several servers, that of the one which began, or reloaded, last. Raises OSError.
    """
    try:
        with (folder / _NAME).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read()
    except FileNotFoundError:
        pass
    return None
