"""The configuration of a running server, in a file in the cache folder for `config show --running`.

The server's processes hold the file locked (flock) while any of them lives, so the file of a server that
has ended is known as such.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from pyproxycache.configuration.config import Config, dump

log = logging.getLogger("pyproxycache")

_NAME = "running.yaml"


class Running:
    """Writes the configuration of this process's server; used by the master only, which has one thread."""

    def __init__(self) -> None:
        self._held: int | None = None

    def note(self, config: Config) -> None:
        """Write the configuration in place of the one before; an error is logged."""
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
    """The configuration, as YAML, of the server that uses this cache folder; None if none runs.

    Of several servers, that of the one which started or reloaded last. Raises OSError.
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
