"""Lock files beside the index, held with flock."""

from __future__ import annotations

import os
from pathlib import Path


def open_lock(path: Path) -> int:
    """A descriptor of the lock file, made where it is not there; raises OSError.

    It belongs to whom the folder belongs to: root may run a command on a service's cache first.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    folder = path.parent.stat()
    if os.geteuid() == 0 and os.fstat(fd).st_uid != folder.st_uid:
        os.fchown(fd, folder.st_uid, folder.st_gid)
    return fd
