"""Bytes from a connection as they arrive, read ahead through one buffer."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable

from pyproxycache.errors import UpstreamMalformed

_READ_AHEAD = 64 << 10
_READ_SIZE = 256 << 10


class Reader:
    """Reads one socket; what was read ahead stays here, for the connection's next answer is no part of it.

    Every wait for a byte ends after `silence` seconds, and at the `deadline` (monotonic) while there is
    one: TimeoutError. `received` counts bytes. `before_wait`, where it is set, is called before each wait.
    """

    def __init__(self, sock: socket.socket, silence: float) -> None:
        self._sock = sock
        self._silence = silence
        self._buffer = bytearray()
        self.deadline: float | None = None
        self.before_wait: Callable[[], None] | None = None
        self.received = 0

    def line(self, limit: int) -> bytes:
        """The next line with its end; raises UpstreamMalformed where it is longer than `limit` bytes.

        EOFError where the connection ends before the line does.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0 and len(self._buffer) <= limit:
            searched = len(self._buffer)
            data = self._receive(_READ_AHEAD)
            if not data:
                raise EOFError("the connection ended within a line")
            self._buffer += data
        if not 0 <= end < limit:
            text = "a line, or all of a head, is too long"
            raise UpstreamMalformed(text, "http_response_header_section_size")
        return self._taken(end + 1)

    def some(self, limit: int) -> bytes:
        """The next bytes, `limit` at most, as soon as there are any; b"" at the end of the connection."""
        if not self._buffer:
            if limit >= _READ_AHEAD:
                return self._receive(min(limit, _READ_SIZE))
            self._buffer += self._receive(_READ_AHEAD)
        return self._taken(min(limit, _READ_SIZE))

    def read_ahead(self) -> bytes:
        """What was received and not read yet."""
        return self._taken(len(self._buffer))

    def is_ready(self) -> bool:
        """Whether the next read gives something, if only the end or an error, without waiting."""
        if self._buffer:
            return True
        if not isinstance(self._sock, ssl.SSLSocket):
            return self._is_readable()
        # TLS has messages of its own, such as session tickets, which are nothing to read.
        return (self._sock.pending() > 0 or self._is_readable()) and self._receive_ready()

    def _is_readable(self) -> bool:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def _receive_ready(self) -> bool:
        self._sock.setblocking(False)
        try:
            data = self._sock.recv(_READ_AHEAD)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            return True
        self._buffer += data
        self.received += len(data)
        return True

    def _receive(self, size: int) -> bytes:
        if self.before_wait is not None:
            if not self.is_ready():
                self.before_wait()
            if self._buffer:  # TLS shows what is there only by reading it
                return self._taken(size)
        self._sock.settimeout(self.patience())
        data = self._sock.recv(size)
        self.received += len(data)
        return data

    def patience(self) -> float:
        """How long a single wait may be (seconds); raises TimeoutError after the deadline."""
        if self.deadline is None:
            return self._silence
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline is over")
        return min(left, self._silence)

    def _taken(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data
