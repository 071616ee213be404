"""Streams: the bytes of a connection in both directions, plain or in TLS, without waiting."""

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
    """The bytes of one connection in both directions; no method waits; used by one thread at a time.

    A method that would have to wait raises BlockingIOError and changes nothing. It is to be called again
    when the descriptor is ready for `recv_waits_for` (after `recv`) or `send_waits_for` (after others),
    both events of `select.poll`; TLS may have to read in order to send, and the other way round. After that
    `send` has to get the same bytes again, or more of them. Any other OSError ends the connection.

    `ends_one_way`: after `half_close` the peer may go on sending. With TLS many peers take it as the end of
    both directions.
    """

    recv_waits_for: int
    send_waits_for: int
    ends_one_way: bool

    def recv(self, count: int, /) -> bytes:
        """The next bytes, fewer than `count` only if no more have come; b"" at the end of the connection.

        So after fewer bytes, the descriptor reports whatever comes next, also when it is edge-triggered.
        """

    def send(self, data: bytes | memoryview, /) -> int:
        """Send as many of the bytes as there is room for; returns how many."""

    def sendfile(self, fd: int, offset: int, count: int, /) -> int:
        """Send bytes of a file as `send` does; 0 if the file has none at the offset."""

    def pending(self) -> int:
        """How many bytes can be read although the descriptor does not report them."""

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


class PlainStream:
    """A Stream over a socket without TLS."""

    recv_waits_for: int = select.POLLIN
    send_waits_for: int = select.POLLOUT
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

    def reset(self) -> None:
        _have_reset(self._sock)


class TlsStream:
    """A Stream over a TLS socket after its handshake.

    The socket has to be made with `suppress_ragged_eofs=False`, so that an end without TLS's closing
    message, which an attacker could cause, is an error.
    """

    ends_one_way = False

    __slots__ = ("_failure", "_is_reset", "_sock", "recv_waits_for", "send_waits_for")

    def __init__(self, sock: ssl.SSLSocket) -> None:
        """The stream owns the socket from then on."""
        sock.setblocking(False)
        self._sock = sock
        self._is_reset = False
        self._failure: OSError | None = None  # met after bytes that were returned; the next recv raises it
        self.recv_waits_for: int = select.POLLIN
        self.send_waits_for: int = select.POLLOUT

    def recv(self, count: int) -> bytes:
        """Read all records that have come, up to `count` bytes: they are not reported again."""
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
        """Send TLS's closing message, if the peer is still there, and shut down the sending side."""
        self._say_the_end()
        socket.socket.shutdown(self._sock, socket.SHUT_WR)

    def reset(self) -> None:
        self._is_reset = True
        _have_reset(self._sock)

    def close(self) -> None:
        if not self._is_reset:
            self._say_the_end()  # RFC 9112 section 9.8 wants it of both ends
        self._sock.close()

    def _say_the_end(self) -> None:
        """Send TLS's closing message, as far as there is room, and wait for no answer to it."""
        with contextlib.suppress(OSError, ValueError):
            self._sock.unwrap()

    def fileno(self) -> int:
        return self._sock.fileno()

    def probe_when_silent(self) -> None:
        probe_when_silent(self._sock)


def stream_over(sock: socket.socket) -> Stream:
    """The stream over a socket, which the stream owns from then on."""
    return TlsStream(sock) if isinstance(sock, ssl.SSLSocket) else PlainStream(sock)


def _have_reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
