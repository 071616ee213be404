"""One connection's bytes, both ways and without waiting, plain or in TLS."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct
from typing import Protocol

from pyproxycache.net.racing import probe_when_silent

_TLS_STEP = 256 << 10
_RESET = struct.pack("ii", 1, 0)


class Stream(Protocol):
    """One connection's bytes, both ways; no method waits, and one thread at a time calls them.

    What would have to wait raises BlockingIOError, and is to be tried again once the descriptor is ready
    for what the stream waits for: `recv_waits_for` after a `recv`, `send_waits_for` after the others
    (events of `select.poll`; in TLS either may have to wait for either). Nothing has changed then, but
    `send` is to be given the same bytes again, or more behind them. Any other OSError is the end of the
    connection.

    `ends_one_way`: after `half_close` the other end may go on sending for as long as it likes. In TLS it
    need not expect that, and many a one takes it for the end of all.
    """

    recv_waits_for: int
    send_waits_for: int
    ends_one_way: bool

    def recv(self, count: int, /) -> bytes:
        """The next bytes; fewer than `count` where no more have come, b"" at the end of the connection.

        So the descriptor tells of all that comes after fewer, even if it is watched for edges.
        """

    def send(self, data: bytes | memoryview, /) -> int:
        """Send of the bytes as many as there is room for; gives how many those are."""

    def sendfile(self, fd: int, offset: int, count: int, /) -> int:
        """Send bytes of a file as `send` does; 0 where the file has none there."""

    def pending(self) -> int:
        """How many bytes can be read of which the descriptor tells nothing any more."""

    def half_close(self) -> None:
        """Tell the other end that no more will be sent; raises OSError where it is gone."""

    def reset(self) -> None:
        """Have `close` tell the other end that this is no proper end."""

    def close(self) -> None:
        """Be done with the connection."""

    def fileno(self) -> int:
        """The descriptor, for waiting; -1 once it is closed."""

    def probe_when_silent(self) -> None:
        """Have the kernel find out within two minutes that a silent peer is gone; raises OSError."""


class PlainStream:
    """A Stream that is a socket and nothing else: its calls are the socket's own."""

    recv_waits_for: int = select.POLLIN
    send_waits_for: int = select.POLLOUT
    ends_one_way = True

    __slots__ = ("_fd", "_sock", "close", "fileno", "recv", "send")

    def __init__(self, sock: socket.socket) -> None:
        """The socket is the stream's own from here on."""
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

    def reset(self) -> None:
        _have_reset(self._sock)


class TlsStream:
    """A Stream in TLS, over a socket that has shaken hands.

    The socket was made with `suppress_ragged_eofs=False`: what anybody could have cut off is no end.
    """

    ends_one_way = False

    __slots__ = ("_failure", "_sock", "recv_waits_for", "send_waits_for")

    def __init__(self, sock: ssl.SSLSocket) -> None:
        """The socket is the stream's own from here on."""
        sock.setblocking(False)
        self._sock = sock
        self._failure: OSError | None = None  # met behind bytes that came first
        self.recv_waits_for: int = select.POLLIN
        self.send_waits_for: int = select.POLLOUT

    def recv(self, count: int) -> bytes:
        """All records that are there, up to so many bytes: the descriptor tells of none of them again."""
        data = self._record(count)
        if not data or len(data) == count:
            return data
        pieces, left = [data], count - len(data)
        while left:
            try:
                data = self._record(left)
            except BlockingIOError:
                break
            except OSError as error:
                self._failure = error
                break
            if not data:
                break
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def _record(self, count: int) -> bytes:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        try:
            return self._sock.recv(count)
        except ssl.SSLWantReadError as error:
            self.recv_waits_for = select.POLLIN
            raise BlockingIOError from error
        except ssl.SSLWantWriteError as error:
            self.recv_waits_for = select.POLLOUT
            raise BlockingIOError from error
        except ssl.SSLZeroReturnError:
            return b""

    def send(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data)
        except ssl.SSLWantReadError as error:
            self.send_waits_for = select.POLLIN
            raise BlockingIOError from error
        except ssl.SSLWantWriteError as error:
            self.send_waits_for = select.POLLOUT
            raise BlockingIOError from error

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        data = os.pread(fd, min(count, _TLS_STEP), offset)
        return self.send(data) if data else 0

    def pending(self) -> int:
        return self._sock.pending()

    def half_close(self) -> None:
        """A goodbye, if there is still someone, and the end of what is below TLS."""
        with contextlib.suppress(OSError, ValueError):
            self._sock.unwrap()
        socket.socket.shutdown(self._sock, socket.SHUT_WR)

    def reset(self) -> None:
        _have_reset(self._sock)

    def close(self) -> None:
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def probe_when_silent(self) -> None:
        probe_when_silent(self._sock)


def stream_over(sock: socket.socket) -> Stream:
    """The stream over a socket, which is the stream's own from here on."""
    return TlsStream(sock) if isinstance(sock, ssl.SSLSocket) else PlainStream(sock)


def _have_reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
