"""The activity that waits for a client's next request, and answers it at once if memory can."""

from __future__ import annotations

import re
import select

from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.memory_responder import MemoryResponder
from pyproxycache.front.http1.request_activities import Parked, Working
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.lingering import LINGER_SECONDS
from pyproxycache.front.memory.memory import Memory
from pyproxycache.front.requests.refusals import begins_no_line

_READ = 16 << 10
_LONGEST_HEAD = 64 << 10
_KEEPALIVE = 75.0
_SILENCE = 60.0
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# An empty line before the request line is passed over (RFC 9112 section 2.2).
_REQUEST_LINE = re.compile(rb"(?:\r\n)?[!-~]+ [!-~]+ HTTP/1\.[0-9]\r")


class Reading(Activity):
    """Reads request heads, and answers those that memory knows; a connection has one, for all requests."""

    __slots__ = ("_connection", "_context", "_heads", "_loop", "_memory", "_responder")

    def __init__(
        self,
        connection: ClientConnection,
        context: ActivityContext,
        memory: Memory,
        responder: MemoryResponder,
    ) -> None:
        super().__init__(context.loop.now + _KEEPALIVE)
        self._connection = connection
        self._context = context
        self._loop = context.loop
        self._memory = memory
        self._heads = memory.heads
        self._responder = responder

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
            return CLOSED
        connection.readable = connection.ends or len(data) == _READ
        following = None
        if not (connection.buffer or connection.unread):
            known = self._heads.get(data)
            if known is not None:
                following = self._responder.respond(connection, known)
            # For the next head to begin if this one is answered; else for this one to be whole.
            self.deadline = self._loop.now + (_SILENCE if following is None else _KEEPALIVE)
        if following is None:
            connection.buffer += data
            following = self._parse()
        if connection.readable and following is self:
            self._loop.have_turn(connection)  # a client that sends without end holds up no other
        return following

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
                    return self._submit(None)  # the parser refuses it with a reason
                return self
            head = buffer[: found.end()]
            known = self._heads.get(head)
            if known is None or known.scheme != connection.scheme:
                known = self._memory.find(head, connection.scheme)
            following = None if known is None else self._responder.respond(connection, known)
            if following is None:
                return self._submit(head)
            connection.buffer = buffer[found.end() :]
            if following is not self:
                return following
            self.deadline = self._loop.now + _KEEPALIVE
        return self

    def _submit(self, head: bytes | None) -> Activity:
        """Have a thread answer the request, or park it if a thread answers an equal one."""
        context = self._context
        # Answers to a client that has logged in are for it alone, and it gets no other client's.
        transaction = Transaction(self._connection, None if self._connection.login.is_used else head)
        if context.collapser.park(transaction, self._loop.now):
            return Parked(transaction, context)
        return Working(transaction, context, context.runner.answer)
