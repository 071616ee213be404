"""Checks that the file of a Unix socket to listen on is free."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path


def check_is_free(path: str) -> None:
    """Raise OSError if the file is no socket, or if another server listens on it.

    gunicorn would replace the file, and that server would go on without clients.
    """
    try:
        mode = Path(path).lstat().st_mode
    except FileNotFoundError:
        Path(path).parent.stat()
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.ENOTSOCK, f"{path!r} is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return  # left by a server that was killed
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
