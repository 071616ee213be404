"""Where the lines of the access log go: a file, standard output, or syslog."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from pyproxycache import clock
from pyproxycache.report.formats import MONTHS

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_PRIORITY = 23 << 3 | 6  # local7, informational
_NAME = "pyproxycache"
_SYSLOG = "syslog:"


class Unwritten(Exception):
    """Some `lines` could not be written; the text says why."""

    def __init__(self, error: OSError, lines: int) -> None:
        super().__init__(error.strerror or str(error))
        self.lines = lines


class Sink(Protocol):
    """Takes log lines."""

    def open(self) -> None:
        """Open it, or open it again; what was open stays open if that fails. Raises OSError."""

    def write(self, lines: list[str]) -> None:
        """Write the lines, which come without line ends. Raises Unwritten."""

    def close(self) -> None:
        """Close it."""


def sink(where: str) -> Sink:
    """The sink, not open yet, for a file's path, "-" (standard output), or syslog:[PATH|HOST:PORT]."""
    if where == "-":
        return StandardOutput(sys.stdout.fileno())
    return Syslog(where.removeprefix(_SYSLOG)) if where.startswith(_SYSLOG) else LogFile(where)


class LogFile:
    """A file that several processes append to, each batch in one write."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._torn = False

    def open(self) -> None:
        """Open the file that has the name now; it is made if there is none."""
        fd = os.open(self._path, _FLAGS, 0o640)
        self.close()
        self._fd, self._torn = fd, False

    def write(self, lines: list[str]) -> None:
        # A line that a full disk cut is ended first.
        data = _joined([*([""] if self._torn else []), *lines])
        while data:
            try:
                count = os.write(self._fd, data)
            except OSError as error:
                raise Unwritten(error, min(data.count(b"\n"), len(lines))) from error
            self._torn = data[count - 1] != ord("\n")
            data = data[count:]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class StandardOutput:
    """Standard output, which may be a pipe that several processes write to."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def open(self) -> None:
        """Nothing to do: it is always open."""

    def write(self, lines: list[str]) -> None:
        left = len(lines)
        with _alone(self._fd):
            for piece in _pieces(lines):
                data = piece
                while data:
                    try:
                        data = data[os.write(self._fd, data) :]
                    except OSError as error:
                        raise Unwritten(error, left) from error
                left -= piece.count(b"\n")

    def close(self) -> None:
        """Nothing to do: it belongs to the process."""


class Syslog:
    """Datagrams in the form of RFC 3164, to a socket's path or by UDP; "" is /dev/log."""

    def __init__(self, where: str) -> None:
        self._where = where or "/dev/log"
        self._sock: socket.socket | None = None
        self._address: Any = None
        self._host = ""

    def open(self) -> None:
        """Open the socket; raises OSError also if nobody listens, as far as that can be known."""
        family, address = self._resolved()
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
        self.close()
        self._sock, self._address = socket.socket(family, socket.SOCK_DGRAM), address
        # A local daemon adds the host name itself.
        self._host = "" if family == socket.AF_UNIX else f"{socket.gethostname()} "

    def _resolved(self) -> tuple[int, Any]:
        if self._where.startswith("/"):
            return socket.AF_UNIX, self._where
        host, _, port = self._where.rpartition(":")
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)
        return found[0][0], found[0][4]

    def write(self, lines: list[str]) -> None:
        now = time.localtime(clock.wall())
        when = f"{MONTHS[now.tm_mon - 1]} {now.tm_mday:2d} {time.strftime('%H:%M:%S', now)}"
        head = f"<{_PRIORITY}>{when} {self._host}{_NAME}[{os.getpid()}]: "
        failures = [error for line in lines if (error := self._send(f"{head}{line}")) is not None]
        if failures:
            raise Unwritten(failures[-1], len(failures)) from failures[-1]

    def _send(self, text: str) -> OSError | None:
        if self._sock is None:
            return OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        try:
            # The socket is not connected, so that a restarted daemon gets the lines too.
            self._sock.sendto(text.encode("ascii"), self._address)
        except OSError as error:
            return error
        return None

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def _joined(lines: list[str]) -> bytes:
    return "\n".join([*lines, ""]).encode("ascii")


def _pieces(lines: list[str]) -> Iterator[bytes]:
    """The lines in pieces that a pipe writes atomically, unless a single line is too long for that."""
    piece = b""
    for line in lines:
        more = _joined([line])
        if piece and len(piece) + len(more) > select.PIPE_BUF:
            yield piece
            piece = b""
        piece += more
    yield piece


@contextmanager
def _alone(fd: int) -> Iterator[None]:
    """A context in which no other process writes there, for lines that a pipe does not write atomically."""
    with suppress(OSError):  # not all kinds of files can be locked
        fcntl.lockf(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.lockf(fd, fcntl.LOCK_UN)
