"""Closes files that may have been removed meanwhile: the end of a large one keeps the disk busy."""

from __future__ import annotations

import os
import threading

LARGE = 4 << 20
"""Bytes of a file that the disk needs some milliseconds to free."""


def close_file(fd: int) -> None:
    """Close the descriptor; that of a large file that was removed in a thread of its own.

    Whoever closes the last descriptor of such a file waits until its bytes are free: 0.1 s a gigabyte.
    """
    found = os.fstat(fd)
    if found.st_nlink == 0 and found.st_size >= LARGE:
        try:
            threading.Thread(target=os.close, args=(fd,), name="closing", daemon=True).start()
        except RuntimeError:  # there are no more threads
            os.close(fd)
    else:
        os.close(fd)
