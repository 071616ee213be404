"""Sessions in HTTP/2: each stream is a connection of its own, on which one request is answered."""

from __future__ import annotations

from itertools import count

from pyproxycache.front.http1.first_step import FirstStep
from pyproxycache.front.http1.reading import Reading
from pyproxycache.front.http2.field_decoder import FieldDecoder
from pyproxycache.front.http2.flood_guard import FloodGuard
from pyproxycache.front.http2.http2_stream import Http2Stream
from pyproxycache.front.http2.multiplexer import Multiplexer
from pyproxycache.front.http2.multiplexing import Multiplexing
from pyproxycache.front.http2.outlet import Outlet
from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.requests.ingress import over_http2


class _RequestDone(Activity):
    """The request of a stream is answered, and no further one follows."""

    def begin(self) -> Activity:
        return CLOSED


_DONE, _BEGINNING = _RequestDone(), Activity()


class Http2Sessions:
    """The HTTP/2 sessions of one worker's clients; belongs to the poller's thread."""

    def __init__(self, first_step: FirstStep, loop: ClientLoop) -> None:
        self._first_step = first_step
        self._loop = loop
        self._keys = count(-2, -1)  # in place of descriptors, none of which is negative

    def begin(self, connection: ClientConnection) -> Activity:
        """Begin a session on the connection; returns its activity."""
        connection.ingress = over_http2(connection.ingress)
        guard = FloodGuard(self._loop.now)
        outlet = Outlet(guard, connection.wake, connection.stream.probe_when_silent)
        decoder = FieldDecoder(connection.ingress, connection.server_name)
        multiplexer = Multiplexer(decoder, guard, outlet, self._keys.__next__)

        def open_(stream: Http2Stream) -> None:
            made = connection.beside(stream)
            # In a tunnel that is intercepted, further requests follow.
            made.reading = Reading(made, self._loop, self._first_step) if stream.is_tunnel else _DONE
            self._answer(made, stream.head)

        return Multiplexing(connection, self._loop, multiplexer, outlet, open_)

    def _answer(self, connection: ClientConnection, head: bytes) -> None:
        """Answer the request with this head on the connection of its stream."""
        self._loop.add(connection)
        connection.activity = _BEGINNING

        def first() -> Activity:
            following = self._first_step.from_memory(connection, head)
            if following is None:
                connection.buffer = head
                following = self._first_step.submit(connection, head)
            return following

        self._loop.step(connection, first)
