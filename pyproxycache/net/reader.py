"""Bytes from a connection as they arrive, read ahead through one buffer."""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import ssl
import struct
import termios
from collections.abc import Callable, Iterator

from pyproxycache import clock
from pyproxycache.errors import UpstreamMalformed

_READ_AHEAD = 64 << 10
_READ_SIZE = 256 << 10
_AT_ONCE = int(socket.MSG_DONTWAIT)
_LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
_TIMEVAL = struct.Struct("ll")
_LONGEST_WAIT = 86400.0  # seconds: no system call is told more than it can count
_COUNT = struct.Struct("i")


class Reader:
    """Reads one socket; what was read ahead stays here, for the connection's next answer is no part of it.

    Every wait for a byte ends after `silence` seconds, and at the `deadline` (monotonic) while there is
    one: TimeoutError. `received` counts bytes. `before_wait`, where it is set, is called before each wait.
    """

    def __init__(self, sock: socket.socket, silence: float) -> None:
        self._sock = sock
        self._secured = isinstance(sock, ssl.SSLSocket)
        self.silence = silence
        self._limit: float | None = None  # of the kernel's waiting, as it was told last
        self._buffer = bytearray()
        self._failure: OSError | None = None  # met while looking ahead, for the next read
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

    def line_at_hand(self, limit: int) -> bytes:
        """The next line with its end, where it is here and no longer than `limit` bytes; else b""."""
        while (end := self._buffer.find(b"\n", 0, limit)) < 0:
            if len(self._buffer) >= limit or not self._take_in():
                return b""
        return self._taken(end + 1)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """All that is read under it comes in that time, and before the deadline; else TimeoutError."""
        before = self.deadline
        limit = clock.steady() + seconds
        self.deadline = limit if before is None else min(before, limit)
        try:
            yield
        finally:
            self.deadline = before

    def section(self, limit: int) -> bytes | None:
        """All lines up to an empty one, without that, where they are here and end in CRLF; else None."""
        if not self._buffer:
            self._buffer += self._receive(_READ_AHEAD)
        end = self._buffer.find(b"\r\n\r\n", 0, limit)
        if end < 0 or self._buffer.count(b"\n", 0, end) != self._buffer.count(b"\r\n", 0, end):
            return None
        return self._taken(end + 4)[:-4]

    def some(self, limit: int) -> bytes:
        """The next bytes, `limit` at most, as soon as there are any; b"" at the end of the connection."""
        if not self._buffer:
            if limit >= _READ_AHEAD:
                return self._receive(min(limit, _READ_SIZE))
            self._buffer += self._receive(_READ_AHEAD)
        return self._taken(min(limit, _READ_SIZE))

    def holds(self, count: int) -> bool:
        """Whether so many bytes are here, after taking what has come."""
        while len(self._buffer) < count:
            if not self._take_in():
                return False
        return True

    def holds_end(self, end: bytes, limit: int) -> bool:
        """Whether what is here, no more than `limit` bytes, ends so."""
        while not self._buffer.endswith(end):
            if len(self._buffer) > limit or not self._take_in():
                return False
        return len(self._buffer) <= limit

    def read_ahead(self) -> bytes:
        """What was received and not read yet."""
        return self._taken(len(self._buffer))

    def ahead(self, limit: int | None = None) -> bytes:
        """The same, `limit` bytes at most, without reading it."""
        return bytes(self._buffer[:limit])

    def skip(self, count: int) -> None:
        """Let go of so many bytes of what was read ahead."""
        del self._buffer[:count]

    def pending(self) -> int:
        """Bytes that have come and were not read yet, about; of TLS those that are decrypted."""
        if isinstance(self._sock, ssl.SSLSocket):
            return len(self._buffer) + self._sock.pending()
        (count,) = _COUNT.unpack(fcntl.ioctl(self._sock, termios.FIONREAD, bytes(_COUNT.size)))
        return len(self._buffer) + int(count)

    def narrow(self) -> None:
        """Have the other side send no more than it was given leave to, but for a trickle."""
        with contextlib.suppress(OSError):  # it is closed
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, 1)

    def is_ready(self) -> bool:
        """Whether the next read gives something, if only the end or an error, without waiting."""
        if self._buffer or self._failure is not None:
            return True
        try:
            if not self._secured:
                self._sock.recv(1, _LOOK)
                return True
            # TLS has messages of its own, such as session tickets, which are nothing to read.
            data = self._at_once(_READ_AHEAD)
        except BlockingIOError:
            return False
        except OSError as error:
            self._failure = error  # the kernel tells it once
            return True
        self._buffer += data or b""
        return data is not None

    def _take_in(self) -> bool:
        """Take in what has come, without waiting; whether that is anything but the end."""
        try:
            data = self._at_once(_READ_AHEAD)
        except OSError as error:
            self._failure = error
            return False
        self._buffer += data or b""
        return bool(data)

    def _receive(self, size: int) -> bytes:
        """New bytes of the connection, none of the buffer's; b"" at the end."""
        if self.before_wait is not None:
            data = self._at_once(size)
            if data is not None:
                return data
            self.before_wait()
        self._raise_failure()
        self.limit_waits()
        try:
            data = self._sock.recv(size)
        except BlockingIOError as error:
            raise TimeoutError("nothing came in time") from error
        self.received += len(data)
        return data

    def _at_once(self, size: int) -> bytes | None:
        """What `_receive` gives, None where it would wait."""
        self._raise_failure()
        try:
            if not self._secured:
                data = self._sock.recv(size, _AT_ONCE)
            elif self._is_readable_secured():
                self.set_nonblocking()
                data = self._sock.recv(size)
            else:
                return None
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        self.received += len(data)
        return data

    def _raise_failure(self) -> None:
        """Raise what looking ahead met, so that a reset does not pass for the end."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _is_readable_secured(self) -> bool:
        assert isinstance(self._sock, ssl.SSLSocket)
        if self._sock.pending() > 0:
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def limit_waits(self) -> None:
        """Have the socket's next operations wait as long as they may, and no longer.

        Without TLS the kernel looks after that, which saves asking it before each of them.
        """
        patience = self.patience()
        if patience == self._limit:
            return
        self._limit = patience
        if self._secured:
            self._sock.settimeout(patience)
            return
        self._sock.settimeout(None)
        limit = _TIMEVAL.pack(int(patience), int(patience % 1 * 1e6) or 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def set_nonblocking(self) -> None:
        """Have the socket's next operations wait for nothing."""
        self._sock.setblocking(False)
        self._limit = None

    def patience(self) -> float:
        """How long a single wait may be (seconds); raises TimeoutError after the deadline."""
        longest = min(self.silence, _LONGEST_WAIT)
        if self.deadline is None:
            return longest
        left = self.deadline - clock.steady()
        if left <= 0:
            raise TimeoutError("the deadline is over")
        return min(left, longest)

    def _taken(self, count: int) -> bytes:
        buffer = self._buffer
        if count >= len(buffer):
            data = bytes(buffer)
            buffer.clear()
            return data
        data = bytes(buffer[:count])
        del buffer[:count]
        return data
