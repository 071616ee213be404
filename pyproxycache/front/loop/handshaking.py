"""The activity at the begin of a connection in TLS: its handshake."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.lingering import LINGER_SECONDS, Lingering
from pyproxycache.net.handshake import HandshakeFailed, NoHandshake, ServerHandshake
from pyproxycache.report.repetition_filter import LIMITED

log = logging.getLogger("pyproxycache")

HANDSHAKE_SECONDS = 10.0
"""How long a handshake may take, from the connection on."""


class Handshaking(Activity):
    """Finishes the handshake on the poller; then the connection is `reading`, and its scheme https.

    `refuse` gives the activity that answers a client which speaks plain HTTP.
    """

    __slots__ = ("_connection", "_handshake", "_loop", "_refuse")

    def __init__(
        self,
        connection: ClientConnection,
        handshake: ServerHandshake,
        loop: ClientLoop,
        refuse: Callable[[], Activity],
    ) -> None:
        super().__init__(loop.now + HANDSHAKE_SECONDS)
        self._connection = connection
        self._handshake = handshake
        self._loop = loop
        self._refuse = refuse

    @property
    def is_idle(self) -> bool:
        return not self._handshake.has_begun

    def begin(self) -> Activity:
        return self

    def on_event(self, event: int) -> Activity:
        self._connection.note(event)
        # Not at once: a handshake takes as long as many answers from memory, which others wait for.
        self._loop.have_turn(self._connection)
        return self

    def advance(self) -> Activity:
        connection, handshake = self._connection, self._handshake
        try:
            handshake.advance()
        except BlockingIOError:
            connection.go_on_by(handshake.stream)
            return self
        except NoHandshake:
            return self._refuse()
        except ConnectionError:  # as of who looks whether the port is open
            return CLOSED
        except HandshakeFailed as failure:
            self._tell(str(failure))
            connection.go_on_by(handshake.stream)
            # What the client has sent is read, so that it gets the alert and not a reset.
            return (
                Lingering(connection, self._loop, is_due=True) if handshake.stream.fileno() >= 0 else CLOSED
            )
        connection.go_on_by(handshake.stream)
        connection.scheme = "https"
        connection.readable = True  # what came behind the handshake is in TLS already, and has no event
        return connection.reading

    def expire(self) -> Activity:
        self._tell("it was not finished in time")
        return CLOSED

    def stop(self) -> Activity:
        self.deadline = min(self.deadline, self._loop.now + LINGER_SECONDS)
        return self

    def _tell(self, why: str) -> None:
        log.info("a TLS handshake with %s failed: %s", self._connection.client, why, extra=LIMITED)
