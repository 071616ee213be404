"""Checks that the file of a Unix socket to listen on is not another server's."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path


def check_is_free(path: str) -> None:
    """Raises OSError where the file is no socket, or one that another server listens on.

    gunicorn would take its place: that server would go on, and have no clients any more.
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
