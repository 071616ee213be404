"""The activity at the end of a connection, whose client may still be sending."""

from __future__ import annotations

from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection

LINGER_SECONDS = 2.0
"""How long a connection may stay open after its last answer (seconds)."""
_READ = 16 << 10
_READS = 4


class Lingering(Activity):
    """Reads and drops what the client still sends behind its last answer, so that it gets all of that.

    If it were closed with unread bytes, the system would reset the connection (RFC 9112 section 9.6).
    `is_due`: the client may be sending, even if nothing has come yet.
    """

    __slots__ = ("_connection", "_is_due", "_loop")

    def __init__(self, connection: ClientConnection, loop: ClientLoop, *, is_due: bool) -> None:
        super().__init__(loop.now + LINGER_SECONDS)
        self._connection = connection
        self._loop = loop
        self._is_due = is_due

    def begin(self) -> Activity:
        connection = self._connection
        if not (self._is_due or connection.buffer or connection.readable):
            return CLOSED
        try:
            connection.stream.half_close()
        except OSError:
            return CLOSED
        return self.advance()

    def advance(self) -> Activity:
        try:
            for _ in range(_READS):
                if not self._connection.recv(_READ):
                    return CLOSED
        except BlockingIOError:
            return self
        except OSError:
            return CLOSED
        self._loop.have_turn(self._connection)
        return self
