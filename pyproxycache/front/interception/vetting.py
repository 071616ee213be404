"""The activity between a handshake with a leaf and the first words that show that the client accepts it."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache.front.loop.activity import CLOSED, GONE, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.lingering import LINGER_SECONDS

_READ = 16 << 10
_PATIENCE = 75.0
"""As long as a client may wait with its first request elsewhere."""


class Vetting(Activity):
    """Waits for what the client says first in TLS; some look at the leaf only after the handshake.

    `accepted` begins the session, with these words in the connection's buffer; `left` is called if the
    client goes without any.
    """

    __slots__ = ("_accepted", "_connection", "_left", "_loop")

    def __init__(
        self,
        connection: ClientConnection,
        loop: ClientLoop,
        accepted: Callable[[], Activity],
        left: Callable[[], None],
    ) -> None:
        super().__init__(loop.now + (LINGER_SECONDS if loop.is_stopping else _PATIENCE))
        self._connection = connection
        self._loop = loop
        self._accepted = accepted
        self._left = left

    @property
    def is_idle(self) -> bool:
        return True

    def on_event(self, event: int) -> Activity:
        self._connection.note(event)
        return self._gone() if event & GONE else self.advance()

    def advance(self) -> Activity:
        connection = self._connection
        try:
            data = connection.recv(_READ)
        except BlockingIOError:
            connection.readable = False
            return self
        except OSError:
            return self._gone()
        if not data:
            return self._gone()
        connection.buffer = data
        connection.readable = True  # what is in TLS already has no event
        return self._accepted()

    def stop(self) -> Activity:
        self.deadline = min(self.deadline, self._loop.now + LINGER_SECONDS)
        return self

    def _gone(self) -> Activity:
        self._left()
        return CLOSED
