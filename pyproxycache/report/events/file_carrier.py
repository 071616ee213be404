"""Events into a file of JSON lines."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from pyproxycache.report.events.carrier import IsOver, Undelivered

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
# Opened for reading, too, a pipe would take what nobody reads, and lose it; a full one would wait for ever.
_PIPE_FLAGS = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC


class FileCarrier:
    """Appends events to the file that has the name at that moment; it may be renamed at any time.

    A named pipe takes them while somebody reads it.
    """

    def __init__(self, path: Path, stopped: threading.Event) -> None:
        self._path = path
        self._stopped = stopped
        self._has_torn_pipe = False

    def deliver(self, events: Sequence[bytes], _is_over: IsOver) -> None:
        """Append the events, behind the end of a line that a full disk or a kill has left unfinished."""
        delivered = 0
        try:
            is_pipe = self._path.is_fifo()
            fd = os.open(self._path, _PIPE_FLAGS if is_pipe else _FLAGS, 0o640)
            try:
                torn = self._has_torn_pipe if is_pipe else _is_torn(fd)
                data = b"\n" * torn + b"".join(event + b"\n" for event in events)
                while data:
                    count = os.write(fd, data)
                    delivered += data.count(b"\n", 0, count) - torn
                    self._has_torn_pipe = is_pipe and data[count - 1 : count] != b"\n"
                    data, torn = data[count:], False
            finally:
                os.close(fd)
        except OSError as error:
            why = "nobody reads this pipe" if error.errno == errno.ENXIO else error.strerror
            raise Undelivered(f"{self._path}: {why}", delivered) from error

    def rest(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def close(self) -> None:
        """Nothing to do: no file stays open."""


def _is_torn(fd: int) -> bool:
    """Whether the file's last line has no end; a terminal has no last line."""
    try:
        size = os.lseek(fd, 0, os.SEEK_END)
    except OSError:
        return False
    return size > 0 and os.pread(fd, 1, size - 1) != b"\n"
