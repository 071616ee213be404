"""The activity of a connection in HTTP/2: it reads frames for its streams, and sends theirs."""

from __future__ import annotations

import logging
import select
from collections.abc import Callable

from pyproxycache.front.http2.faults import ConnectionFault, ErrorCode
from pyproxycache.front.http2.http2_stream import Http2Stream
from pyproxycache.front.http2.multiplexer import NEW, Multiplexer
from pyproxycache.front.http2.outlet import Outlet
from pyproxycache.front.loop.activity import CLOSED, GONE, NEVER, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.lingering import Lingering
from pyproxycache.report.repetition_filter import LIMITED

log = logging.getLogger("pyproxycache")

_READ = 16 << 10
_KEEPALIVE = 75.0
_SILENCE = 60.0
_GRACE_SECONDS = 1.0
"""How long streams are taken after the client was told that the worker stops: they are under way."""


class Multiplexing(Activity):
    """Passes frames between a client and the streams of its connection, each of which has an activity.

    It ends once the client has left, or was told to, and no stream is in use.
    """

    __slots__ = (
        *("_connection", "_grace_until", "_loop", "_multiplexer", "_open"),
        *("_outlet", "_sending", "_taken_at", "_used_at", "_whole_at"),
    )

    def __init__(
        self,
        connection: ClientConnection,
        loop: ClientLoop,
        multiplexer: Multiplexer,
        outlet: Outlet,
        open_: Callable[[Http2Stream], None],
    ) -> None:
        """`open_` begins to answer the request of a new stream."""
        super().__init__(loop.now + _KEEPALIVE)
        self._connection = connection
        self._loop = loop
        self._multiplexer = multiplexer
        self._outlet = outlet
        self._open = open_
        self._sending = memoryview(b"")
        self._used_at = loop.now  # when there was a stream last
        self._taken_at = loop.now  # when the client has last taken something, or nothing was to be taken
        self._whole_at = loop.now  # when a frame was whole last
        self._grace_until = NEVER

    @property
    def is_idle(self) -> bool:
        return not self._outlet.unsent and not self._multiplexer.streams

    def begin(self) -> Activity:
        self._multiplexer.begin()
        if self._loop.is_stopping:
            return self.stop()
        return self.advance()

    def end(self) -> None:
        """Break off what is left of the streams, as the connection is not theirs any more."""
        self._outlet.end()
        for stream in self._multiplexer.streams:
            self._tell(stream.key, GONE)

    def on_event(self, event: int) -> Activity:
        self._connection.note(event)
        return CLOSED if event & GONE else self.advance()

    def advance(self) -> Activity:
        connection = self._connection
        try:
            if connection.buffer or connection.readable:
                self._receive()
            self._send()
        except ConnectionFault as fault:
            log.info("ended HTTP/2 with %s: %s", connection.client, fault, extra=LIMITED)
            return self._part(fault.code)
        except OSError:
            return CLOSED
        return self._following()

    def _receive(self) -> None:
        """Take what has come, a turn's worth at most; raises ConnectionFault, OSError."""
        connection = self._connection
        data, connection.buffer = connection.buffer, b""
        if not data:
            try:
                data = connection.recv(_READ)
            except BlockingIOError:
                connection.readable = False
                return
            if not data:
                raise ConnectionResetError("the client has gone")
            more = len(data) == _READ or connection.stream.pending() > 0
            connection.readable = connection.ends or more
        self._outlet.hold()
        whole = self._multiplexer.frames
        if self._multiplexer.is_between_frames:
            self._whole_at = self._loop.now
        for stream, event in self._multiplexer.receive(data, self._loop.now):
            if event == NEW:
                self._open(stream)
            else:
                self._tell(stream.key, event)
        if self._multiplexer.frames > whole:
            self._whole_at = self._loop.now
        if connection.readable:
            self._loop.have_turn(connection)  # a client that sends without end holds up no other

    def _send(self) -> None:
        """Send what waits, as far as the client takes it; raises OSError."""
        try:
            while self._sending or (taken := self._outlet.take()):
                if not self._sending:
                    self._sending = memoryview(taken)
                count = self._connection.send(self._sending)
                self._sending = self._sending[count:]
                self._outlet.note_sent(count)
                self._taken_at = self._loop.now
            self._taken_at = self._loop.now
        except BlockingIOError:
            pass  # an event tells when the client takes more

    def _following(self) -> Activity:
        """Let streams go on for which there is room now; the activity that follows, and its deadline."""
        multiplexer, outlet = self._multiplexer, self._outlet
        for key in outlet.next_streams():
            self._tell(key, select.EPOLLOUT)
        if outlet.has_waiting:
            self._loop.have_turn(self._connection)
        streams = multiplexer.streams
        if not streams and not outlet.unsent and (multiplexer.client_leaves or multiplexer.is_last):
            return Lingering(self._connection, self._loop, is_due=True)
        now = self._loop.now
        if streams:
            self._used_at = now
        self.deadline = min(
            NEVER if streams else self._used_at + _KEEPALIVE,
            self._taken_at + _SILENCE if outlet.unsent else NEVER,
            NEVER if multiplexer.is_between_frames else self._whole_at + _SILENCE,
            self._grace_until,
        )
        return self

    def expire(self) -> Activity:
        if self._loop.now >= self._grace_until:
            self._grace_until = NEVER
            self._multiplexer.say_goodbye(is_last=True)
            return self.advance()
        return self._part(ErrorCode.NO_ERROR)

    def give_way(self) -> Activity:
        self._part(ErrorCode.NO_ERROR)
        return CLOSED

    def stop(self) -> Activity:
        """Have the client open no further streams, and answer those that it has opened."""
        self._multiplexer.say_goodbye(is_last=False)
        self._grace_until = self._loop.now + _GRACE_SECONDS
        return self.advance()

    def _part(self, code: ErrorCode) -> Activity:
        """Tell the client that the connection ends now, and why; it may still be sending."""
        self._multiplexer.say_goodbye(code, is_last=True)
        try:
            self._send()
        except OSError:
            return CLOSED
        return CLOSED if self._outlet.unsent else Lingering(self._connection, self._loop, is_due=True)

    def _tell(self, key: int, event: int) -> None:
        """Have the activity of a stream react to an event."""
        stream = self._loop.connections.get(key)
        if stream is not None:
            self._loop.on_event(stream, event)
