"""The activity that waits for a client's next request, and answers it at once if memory can."""

from __future__ import annotations

import re
import select

from pyproxycache.front.http1.first_step import FirstStep
from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.lingering import LINGER_SECONDS
from pyproxycache.front.requests.refusals import begins_no_line

_READ = 16 << 10
_LONGEST_HEAD = 64 << 10
_KEEPALIVE = 75.0
_SILENCE = 60.0
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# An empty line before the request line is passed over (RFC 9112 section 2.2).
# Bytes that are not ASCII may be in its target, as some clients send them.
_REQUEST_LINE = re.compile(rb"(?:\r\n)?[!-~]+ [!-~\x80-\xff]+ HTTP/1\.[0-9]\r")


class Reading(Activity):
    """Reads request heads, and answers those that memory knows; a connection has one, for all requests."""

    __slots__ = ("_connection", "_first_step", "_heads", "_loop", "_respond")

    def __init__(self, connection: ClientConnection, loop: ClientLoop, first_step: FirstStep) -> None:
        super().__init__(loop.now + _KEEPALIVE)
        self._connection = connection
        self._loop = loop
        self._first_step = first_step
        self._heads = first_step.heads
        self._respond = first_step.respond

    @property
    def is_idle(self) -> bool:
        return not self._connection.buffer

    def begin(self) -> Activity:
        """Wait for the next request; bytes that have come already are read after the others' turn."""
        # Once the worker is to stop, only who was in a handshake begins here.
        patience = LINGER_SECONDS if self._loop.is_stopping else _KEEPALIVE
        self.deadline = self._loop.now + patience
        if self._connection.buffer or self._connection.readable:
            self._loop.have_turn(self._connection)
        return self

    def on_event(self, event: int) -> Activity:
        """Read what has come, a turn's worth at most, and answer the requests that are whole by then."""
        connection = self._connection
        if event & select.EPOLLRDHUP:
            connection.ends = True
        try:
            data = connection.recv(_READ)
        except BlockingIOError:
            connection.readable = False
            return self
        except OSError:
            return CLOSED
        if not data:
            return self._ended()
        connection.readable = connection.ends or len(data) == _READ or connection.stream.pending() > 0
        following = None
        if not (connection.buffer or connection.unread):
            known = self._heads.get(data)
            if known is not None:
                following = self._respond(connection, known)
            # For the next head to begin if this one is answered; else for this one to be whole.
            self.deadline = self._loop.now + (_SILENCE if following is None else _KEEPALIVE)
        if following is None:
            connection.buffer += data
            following = self._parse()
        if connection.readable and following is self:
            self._loop.have_turn(connection)  # a client that sends without end holds up no other
        return following

    def _ended(self) -> Activity:
        """Answer what is there although the client says no more; then the connection ends."""
        self._connection.ends = self._connection.readable = True
        following = self._parse()
        return CLOSED if following is self else following

    def advance(self) -> Activity:
        following = self._parse()
        return self.on_event(0) if following is self and self._connection.readable else following

    def stop(self) -> Activity:
        self.deadline = min(self.deadline, self._loop.now + LINGER_SECONDS)
        return self

    def _parse(self) -> Activity:
        """Answer the requests whose heads are in the buffer, one after the other."""
        connection = self._connection
        while buffer := connection.buffer:
            if connection.unread:
                count = min(connection.unread, len(buffer))
                connection.buffer, connection.unread = buffer[count:], connection.unread - count
                continue
            found = _END_OF_HEAD.search(buffer)
            if found is None:
                self.deadline = min(self.deadline, self._loop.now + _SILENCE)
                line_end = buffer.find(b"\n", 2)
                strange = line_end >= 0 and not _REQUEST_LINE.fullmatch(buffer[:line_end])
                if strange or begins_no_line(buffer) or len(buffer) > _LONGEST_HEAD:
                    return self._first_step.submit(connection, None)  # the parser refuses it with a reason
                return self
            head = buffer[: found.end()]
            following = self._first_step.from_memory(connection, head)
            if following is None:
                return self._first_step.submit(connection, head)
            connection.buffer = buffer[found.end() :]
            if following is not self:
                return following
            self.deadline = self._loop.now + _KEEPALIVE
        return self
