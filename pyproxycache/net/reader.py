"""Reads bytes from a connection through a buffer, with limits on each wait."""

from __future__ import annotations

import contextlib
import fcntl
import math
import select
import socket
import ssl
import struct
import termios
from collections.abc import Callable, Iterator

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.errors import UpstreamMalformed
from pyproxycache.net.layered_socket import LayeredSocket

_READ_AHEAD = 64 << 10
_READ_SIZE = 256 << 10
_AT_ONCE = int(socket.MSG_DONTWAIT)
_LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
_TIMEVAL = struct.Struct("ll")
_LONGEST_WAIT = 86400.0  # seconds: system calls overflow with much larger ones
_COUNT = struct.Struct("i")


class Reader:
    """Reads one socket through a buffer, which keeps bytes that belong to a later message.

    Each wait for a byte ends with TimeoutError after `silence` seconds, and at the `deadline` (monotonic)
    if there is one. `early` was read before; `received` counts all other bytes. `before_wait`, if set, is
    called before each wait.
    """

    def __init__(self, sock: socket.socket | LayeredSocket, silence: float, early: bytes = b"") -> None:
        self._sock = sock
        self._plain = None if isinstance(sock, ssl.SSLSocket | LayeredSocket) else sock
        self.silence = silence
        self._limit: float | None = None  # the time limit that the socket has now (seconds)
        self._buffer = bytearray(early)
        self._failure: OSError | None = None  # met while filling the buffer; the next read raises it
        self.deadline: float | None = None
        self.before_wait: Callable[[], None] | None = None
        self.received = 0

    def line(self, limit: int) -> bytes:
        """The next line with its end; waits for it.

        Raises UpstreamMalformed if it is longer than `limit` bytes, EOFError if the connection ends first.
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
        """The next line with its end if it has arrived and has at most `limit` bytes; else b""."""
        while (end := self._buffer.find(b"\n", 0, limit)) < 0:
            if len(self._buffer) >= limit or not self._fill():
                return b""
        return self._taken(end + 1)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Limit all reads in this context together to so many seconds; then they raise TimeoutError."""
        before = self.deadline
        limit = clock.steady() + seconds
        self.deadline = limit if before is None else min(before, limit)
        try:
            yield
        finally:
            self.deadline = before

    def section(self, limit: int) -> bytes | None:
        """The lines before the next empty line, if all have arrived and end in CRLF; else None.

        `limit` is their largest size (bytes). The empty line is taken too, and not returned.
        """
        if not self._buffer:
            self._buffer += self._receive(_READ_AHEAD)
        end = self._buffer.find(b"\r\n\r\n", 0, limit)
        if end < 0 or self._buffer.count(b"\n", 0, end) != self._buffer.count(b"\r\n", 0, end):
            return None
        return self._taken(end + 4)[:-4]

    def some(self, limit: int) -> bytes:
        """The next bytes, at most `limit`, as soon as there are any; b"" at the end of the connection."""
        if not self._buffer:
            if limit >= _READ_AHEAD:
                return self._receive(min(limit, _READ_SIZE))
            self._buffer += self._receive(_READ_AHEAD)
        return self._taken(min(limit, _READ_SIZE))

    def holds(self, count: int) -> bool:
        """Whether at least `count` bytes have arrived; does not wait."""
        while len(self._buffer) < count:
            if not self._fill():
                return False
        return True

    def holds_end(self, end: bytes, limit: int) -> bool:
        """Whether the bytes that have arrived are at most `limit` and end with `end`; does not wait."""
        while not self._buffer.endswith(end):
            if len(self._buffer) > limit or not self._fill():
                return False
        return len(self._buffer) <= limit

    def take_buffered(self) -> bytes:
        """Read all bytes in the buffer, and nothing of the socket."""
        return self._taken(len(self._buffer))

    def buffered(self, limit: int | None = None) -> bytes:
        """The first `limit` bytes in the buffer (None: all), which stay there."""
        return bytes(self._buffer[:limit])

    def skip(self, count: int) -> None:
        """Drop the first `count` bytes in the buffer."""
        del self._buffer[:count]

    def pending(self) -> int:
        """About how many bytes have arrived and were not read; with TLS, only decrypted ones."""
        if isinstance(self._sock, ssl.SSLSocket | LayeredSocket):
            return len(self._buffer) + self._sock.pending()
        (count,) = _COUNT.unpack(fcntl.ioctl(self._sock, termios.FIONREAD, bytes(_COUNT.size)))
        return len(self._buffer) + int(count)

    def narrow(self) -> None:
        """Shrink the TCP window, so that the peer sends little beyond what it may send already."""
        with contextlib.suppress(OSError):  # the socket is closed
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, 1)

    def is_ready(self) -> bool:
        """Whether the next read returns at once, with bytes, the end, or an error."""
        if self._buffer or self._failure is not None:
            return True
        try:
            if self._plain is not None:
                self._plain.recv(1, _LOOK)
                return True
            # Readable may also mean a TLS message without content, such as a session ticket.
            data = self._receive_now(_READ_AHEAD)
        except BlockingIOError:
            return False
        except OSError as error:
            self._failure = error  # the kernel reports it only once
            return True
        self._buffer += data or b""
        return data is not None

    def wait_ready(self) -> None:
        """Wait until the next read returns at once; raises TimeoutError."""
        if self._buffer or self._failure is not None or (self._plain is None and self.is_ready()):
            return
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        with Blocking():
            found = poll.poll(self.patience() * 1000)
        if not found:
            raise TimeoutError("nothing came in time")

    def gets_more(self, until: float) -> bool:
        """Whether more bytes come before this time (monotonic), which waits for them; nothing is read."""
        left = until - clock.steady()
        if left <= 0 or self._failure is not None:
            return False
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        with Blocking():
            found = poll.poll(math.ceil(left * 1000))
        return bool(found) and self._fill()

    def _fill(self) -> bool:
        """Add what has arrived to the buffer without waiting; false if that is nothing, or the end."""
        try:
            data = self._receive_now(_READ_AHEAD)
        except OSError as error:
            self._failure = error
            return False
        self._buffer += data or b""
        return bool(data)

    def _receive(self, size: int) -> bytes:
        """The next bytes from the socket, past the buffer; waits for them. b"" at the end."""
        if self.before_wait is not None or self._plain is not None:
            data = self._receive_now(size)
            if data is not None:
                return data
        if self.before_wait is not None:
            self.before_wait()
        self._raise_failure()
        self.limit_waits()
        try:
            with Blocking():
                data = self._sock.recv(size)
        except BlockingIOError as error:
            raise TimeoutError("nothing came in time") from error
        self.received += len(data)
        return data

    def _receive_now(self, size: int) -> bytes | None:
        """As _receive(), but None instead of waiting."""
        self._raise_failure()
        try:
            if self._plain is not None:
                data = self._plain.recv(size, _AT_ONCE)
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
        """Raise the error met while filling the buffer, so that a reset is not taken for the end."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _is_readable_secured(self) -> bool:
        assert isinstance(self._sock, ssl.SSLSocket | LayeredSocket)
        if self._sock.pending() > 0:
            return True
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))

    def limit_waits(self) -> None:
        """Set the socket to wait in its next operations for patience() seconds at most.

        Without TLS the kernel keeps the limit, which saves a poll before each operation.
        """
        patience = self.patience()
        if patience == self._limit:
            return
        self._limit = patience
        if self._plain is None:
            self._sock.settimeout(patience)
            return
        self._sock.settimeout(None)
        limit = _TIMEVAL.pack(int(patience), int(patience % 1 * 1e6) or 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def set_nonblocking(self) -> None:
        """Set the socket not to wait in its next operations."""
        self._sock.setblocking(False)
        self._limit = None

    def patience(self) -> float:
        """The longest that the next wait may be (seconds); raises TimeoutError after the deadline."""
        longest = min(self.silence, _LONGEST_WAIT)
        if self.deadline is None:
            return longest
        left = self.deadline - clock.steady()
        if left <= 0:
            raise TimeoutError("the deadline is over")
        return min(left, longest)

    def _taken(self, count: int) -> bytes:
        """Remove the first `count` bytes from the buffer and return them."""
        buffer = self._buffer
        if count >= len(buffer):
            data = bytes(buffer)
            buffer.clear()
            return data
        data = bytes(buffer[:count])
        del buffer[:count]
        return data
