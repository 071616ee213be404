"""A socket in TLS for threads that wait, which becomes a stream for the poller."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from pyproxycache.net.layered_tls import LayeredTls, MakeEnd
from pyproxycache.net.stream import PlainStream

_Result = TypeVar("_Result")


class LayeredSocket:
    """What an SSLSocket is to those who wait for its bytes, over the `stream` in TLS, which may be taken.

    An SSLSocket reads on for as long as TLS without content comes, and cannot be interrupted in that; the
    stream is not so. It owns the connected socket. Operations wait for as long as settimeout() says, None
    for ever; then they raise TimeoutError, or BlockingIOError if that was 0.
    """

    def __init__(self, sock: socket.socket, end: MakeEnd) -> None:
        self._sock = sock
        self._patience = sock.gettimeout()
        self.stream = LayeredTls(PlainStream(sock), end)
        self.fileno = sock.fileno
        self.setsockopt = sock.setsockopt
        self.shutdown = sock.shutdown
        self.pending = self.stream.pending
        self.close = self.stream.close

    @property
    def end(self) -> ssl.SSLObject:
        """This end of TLS, which knows what the other one has shown."""
        return self.stream.end

    def do_handshake(self) -> None:
        """Do the handshake; raises OSError."""
        self._done(self.stream.shake, select.POLLIN)

    def recv(self, count: int, /) -> bytes:
        """The next bytes, at least one; b"" at the end. Raises OSError."""
        return self._done(lambda: self.stream.recv(count), select.POLLIN)

    def send(self, data: bytes | memoryview, /) -> int:
        """Send some of the bytes; returns how many. Raises OSError."""
        return self._done(lambda: self.stream.send(data), select.POLLOUT)

    def sendall(self, data: bytes, /) -> None:
        """Send all of the bytes; raises OSError."""
        view = memoryview(data)
        while view:
            view = view[self.send(view) :]

    def settimeout(self, seconds: float | None) -> None:
        """Have each wait end after so many seconds."""
        self._patience = seconds

    def setblocking(self, waits: bool) -> None:
        """Have operations wait for ever, or not at all."""
        self._patience = None if waits else 0.0

    def _done(self, operation: Callable[[], _Result], events: int) -> _Result:
        """The result of the operation, once it is possible."""
        while True:
            try:
                return operation()
            except BlockingIOError:
                if self._patience == 0:
                    raise
            poll = select.poll()
            poll.register(self._sock, events | (select.POLLOUT if self.stream.has_unsent else 0))
            if not poll.poll(None if self._patience is None else self._patience * 1000):
                raise TimeoutError("nothing came in time")
