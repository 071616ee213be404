"""A client's connection as a stream that a thread waits for."""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import AbstractContextManager

from pyproxycache import clock
from pyproxycache.front.loop.connection import ClientConnection

_SILENCE = 60.0

Aside = Callable[[], AbstractContextManager[None]]
"""Makes the context in which a thread waits for its client."""


class BlockingStream:
    """The connection's stream for a thread that may wait, for up to a minute at a time.

    Others have its place in the context that `aside` makes. If `waits` is false, reading returns what has
    come, and then raises BlockingIOError.
    """

    def __init__(self, connection: ClientConnection, aside: Aside) -> None:
        self.waits = True
        self._connection = connection
        self._aside = aside
        self._stream = connection.stream
        self.fileno = self._stream.fileno
        self.half_close = self._stream.half_close

    def recv(self, size: int) -> bytes:
        """The next bytes, first those in the connection's buffer; b"" at the end. Raises OSError."""
        buffer = self._connection.buffer
        if buffer:
            self._connection.buffer = buffer[size:]
            return buffer[:size]
        deadline = clock.steady() + _SILENCE
        while True:
            try:
                return self._stream.recv(size)
            except BlockingIOError:
                if not self.waits:
                    raise
                self._wait(self._stream.recv_waits_for, deadline)

    def sendall(self, data: bytes) -> None:
        """Send all of the data; raises OSError, TimeoutError if the client takes no byte for a minute."""
        view = memoryview(data)
        deadline = clock.steady() + _SILENCE
        while view:
            try:
                view = view[self._stream.send(view) :]
                deadline = clock.steady() + _SILENCE
            except BlockingIOError:
                self._wait(self._stream.send_waits_for, deadline)

    def _wait(self, events: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._stream, events)
        with self._aside():
            found = poll.poll(max(0.0, deadline - clock.steady()) * 1000)
        if not found:
            raise TimeoutError("the client neither sent nor took a byte")
