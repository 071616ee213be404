"""The first activity of a redirected connection, on which it is not known yet what is spoken."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache.front.loop.activity import CLOSED, GONE, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.lingering import LINGER_SECONDS

_READ = 16 << 10
_PATIENCE = 75.0
"""As long as a session waits for its first request."""

Recognises = Callable[[bytes], bool | None]
"""Tells of the first bytes whether they are of the expected protocol; None if that is not certain yet."""


class Recognising(Activity):
    """Reads the first bytes; the connection is `reading` if they are recognised, else it is passed on.

    `pass_on` gives the activity for what is another protocol.
    """

    __slots__ = ("_connection", "_loop", "_pass_on", "_recognises")

    def __init__(
        self,
        connection: ClientConnection,
        loop: ClientLoop,
        recognises: Recognises,
        pass_on: Callable[[], Activity],
    ) -> None:
        super().__init__(loop.now + _PATIENCE)
        self._connection = connection
        self._loop = loop
        self._recognises = recognises
        self._pass_on = pass_on

    @property
    def is_idle(self) -> bool:
        return not self._connection.buffer

    def begin(self) -> Activity:
        return self

    def on_event(self, event: int) -> Activity:
        self._connection.note(event)
        return CLOSED if event & GONE else self.advance()

    def advance(self) -> Activity:
        connection = self._connection
        while True:
            try:
                data = connection.recv(_READ)
            except BlockingIOError:
                return self
            except OSError:
                return CLOSED
            connection.buffer += data
            recognised = self._recognises(connection.buffer) if data else False
            if recognised:
                return connection.reading
            if recognised is False:
                return self._pass_on() if connection.buffer else CLOSED

    def stop(self) -> Activity:
        self.deadline = min(self.deadline, self._loop.now + LINGER_SECONDS)
        return self
