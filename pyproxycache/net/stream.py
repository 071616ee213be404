"""Streams: the bytes of a connection in both directions, without waiting; here without TLS."""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import Protocol

from pyproxycache.net.racing import probe_when_silent

_RESET = struct.pack("ii", 1, 0)


class Stream(Protocol):
    """The bytes of one connection in both directions; no method waits; used by one thread at a time.

    A method that would have to wait raises BlockingIOError and changes nothing. It is to be called again
    when there is something to read (after `recv`), or room to send (after others). Then `send` has to get
    the same bytes again, or more of them. Any other OSError ends the connection.

    `ends_one_way`: after `half_close` the peer may go on sending. With TLS many peers take it as the end of
    both directions.
    """

    @property
    def ends_one_way(self) -> bool: ...

    def recv(self, count: int, /) -> bytes:
        """The next bytes; b"" at the end of the connection.

        They are fewer than `count` only if no more have come, or if something is pending(). Else the
        descriptor reports whatever comes next, also when it is edge-triggered.
        """

    def send(self, data: bytes | memoryview, /) -> int:
        """Send as many of the bytes as there is room for; returns how many."""

    def sendfile(self, fd: int, offset: int, count: int, /) -> int:
        """Send bytes of a file as `send` does; 0 if the file has none at the offset."""

    def pending(self) -> int:
        """How many bytes there may be at least that the descriptor does not report."""

    def half_close(self) -> None:
        """Tell the peer that no more will be sent; raises OSError if it is gone."""

    def reset(self) -> None:
        """Have close() reset the connection, so that the peer does not take it for a proper end."""

    def close(self) -> None:
        """Close the connection, which is a proper end to the peer unless it was reset or has failed."""

    def fileno(self) -> int:
        """The descriptor, for waiting; -1 once it is closed."""

    def probe_when_silent(self) -> None:
        """Have the kernel probe a silent peer, and fail the stream within two minutes; raises OSError."""

    def wait(self, events: int, seconds: float) -> bool:
        """Wait in this thread, for so long at most, until it is ready for `events`; returns whether it is.

        The events are those of `select.poll`. A failure counts as ready, and shows by the next call.
        """

    def has_failed(self) -> bool:
        """Whether the connection has an error that no call has reported yet."""


class PlainStream:
    """A Stream over a socket without TLS."""

    ends_one_way = True

    __slots__ = ("_fd", "_sock", "close", "fileno", "recv", "send")

    def __init__(self, sock: socket.socket) -> None:
        """The stream owns the socket from then on."""
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self.recv = sock.recv
        self.send = sock.send
        self.close = sock.close
        self.fileno = sock.fileno

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        return os.sendfile(self._fd, fd, offset, count)

    def pending(self) -> int:
        return 0

    def half_close(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def probe_when_silent(self) -> None:
        probe_when_silent(self._sock)

    def wait(self, events: int, seconds: float) -> bool:
        return wait_on(self._fd, events, seconds)

    def has_failed(self) -> bool:
        return has_error(self._fd)

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def wait_on(fd: int, events: int, seconds: float) -> bool:
    """Wait until the descriptor has one of the events, or an error; returns whether it has."""
    poll = select.poll()
    poll.register(fd, events)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def has_error(fd: int) -> bool:
    """Whether the socket has an error that no call has reported yet."""
    poll = select.poll()
    poll.register(fd, 0)
    return any(event & select.POLLERR for _fd, event in poll.poll(0))
