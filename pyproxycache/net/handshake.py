"""The server's side of TLS handshakes, step by step and without waiting."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable

from pyproxycache.errors import reason
from pyproxycache.net.stream import PlainStream, Stream, TlsStream

# A record of a handshake begins with 22 (RFC 8446 section 5.1), a request with a letter or an empty line.
_BEGINS_TEXT = re.compile(rb"[A-Za-z\r\n]")


class NoHandshake(Exception):
    """The client has sent text, as HTTP is, where its handshake was to begin; none of it was read."""


class HandshakeFailed(Exception):
    """The handshake cannot be finished; the text says why, for the log."""


class ServerHandshake:
    """The handshake with the client of an accepted socket, which belongs to this and to its `stream`.

    `stream` is the connection as it is at the time: plain before the client's first byte and after a
    failure, else in TLS. Its descriptor stays the same; -1 if it was closed by a failure. `context` gives
    the TLS context, when the first byte has come. `has_begun`: the client has sent something.
    """

    def __init__(self, sock: socket.socket, context: Callable[[], ssl.SSLContext]) -> None:
        self.has_begun = False
        self.stream: Stream = PlainStream(sock)
        self._sock = sock
        self._context = context
        self._secured: ssl.SSLSocket | None = None

    def advance(self) -> None:
        """Take the steps that are possible now; returns once the handshake is over.

        Raises BlockingIOError if more has to come, or to be sent, first; NoHandshake; HandshakeFailed;
        ConnectionError if the client has gone before it sent anything.
        """
        try:
            if self._secured is None:
                self._begin()
            self._shake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error
        except (BlockingIOError, NoHandshake):
            raise
        except (OSError, ValueError) as error:
            if not self.has_begun:
                raise ConnectionError(reason(error)) from error
            self._part()
            raise HandshakeFailed(_told(error)) from error

    def _begin(self) -> None:
        # Text is looked at and left, for whoever reads it then.
        first = self._sock.recv(1, socket.MSG_PEEK)
        if not first:
            raise ConnectionError("it has gone")
        self.has_begun = True
        if _BEGINS_TEXT.match(first):
            raise NoHandshake
        # An end without TLS's closing message, which an attacker could cause, has to be an error.
        self._secured = self._context().wrap_socket(
            self._sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        self.stream = TlsStream(self._secured)

    def _shake(self) -> None:
        assert self._secured is not None, "it has begun"
        self._secured.do_handshake()

    def _part(self) -> None:
        """Make the stream a plain one again, whose end the client can be left to read an alert before."""
        if self._secured is not None and self._secured.fileno() >= 0:
            self._sock = socket.socket(fileno=self._secured.detach())
            self.stream = PlainStream(self._sock)


def _told(error: Exception) -> str:
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return "the client broke it off"
    return reason(error)
