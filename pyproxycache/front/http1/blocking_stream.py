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
                self._wait(select.POLLIN, deadline)

    def sendall(self, data: bytes) -> None:
        """Send all of the data; raises OSError, TimeoutError if the client takes no byte for a minute."""
        view = memoryview(data)
        deadline = clock.steady() + _SILENCE
        while view:
            try:
                view = view[self._stream.send(view) :]
                deadline = clock.steady() + _SILENCE
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)

    def has_room(self) -> bool:
        """Whether some bytes can be sent without waiting for the client."""
        return self._stream.wait(select.POLLOUT, 0.0)

    def _wait(self, events: int, deadline: float) -> None:
        with self._aside():
            is_ready = self._stream.wait(events, deadline - clock.steady())
        if not is_ready:
            raise TimeoutError("the client neither sent nor took a byte")
