"""The first activity of a connection in TLS: its handshake."""

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
    """Finishes the handshake on the poller; then `begin` begins the session of the connection.

    `refuse` gives the activity that answers a client which speaks plain HTTP; `failed` is told of a
    handshake that cannot be finished.
    """

    __slots__ = ("_begin", "_connection", "_failed", "_handshake", "_loop", "_refuse")

    def __init__(
        self,
        connection: ClientConnection,
        handshake: ServerHandshake,
        loop: ClientLoop,
        begin: Callable[[], Activity],
        refuse: Callable[[], Activity],
        failed: Callable[[HandshakeFailed], None],
    ) -> None:
        super().__init__(loop.now + (LINGER_SECONDS if loop.is_stopping else HANDSHAKE_SECONDS))
        self._connection = connection
        self._handshake = handshake
        self._loop = loop
        self._begin = begin
        self._refuse = refuse
        self._failed = failed

    @property
    def is_idle(self) -> bool:
        return not self._handshake.has_begun

    def begin(self) -> Activity:
        if self._handshake.has_begun:
            self._loop.have_turn(self._connection)
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
            connection.buffer = handshake.early
            return self._refuse()
        except ConnectionError:  # as of who looks whether the port is open
            return CLOSED
        except HandshakeFailed as failure:
            self._failed(failure)
            connection.go_on_by(handshake.stream)
            # What the client has sent is read, so that it gets the alert and not a reset.
            return Lingering(connection, self._loop, is_due=True)
        connection.go_on_by(handshake.stream)
        # What came behind the handshake has no event: it is in TLS already, or is the end.
        connection.readable = handshake.is_readable or connection.ends
        return self._begin()

    def expire(self) -> Activity:
        self._failed(HandshakeFailed("it was not finished in time"))
        return CLOSED

    def stop(self) -> Activity:
        self.deadline = min(self.deadline, self._loop.now + LINGER_SECONDS)
        return self


def tell_of_failure(client: str, failure: HandshakeFailed, host: str = "") -> None:
    """Log that the handshake with the client, in the place of the host if there is one, has failed."""
    place = f" for {host}" if host else ""
    log.info("a TLS handshake with %s%s failed: %s", client, place, failure, extra=LIMITED)
