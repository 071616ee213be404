"""The first step of a request whose head is whole: an answer from memory, or work in a thread."""

from __future__ import annotations

from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.memory_responder import MemoryResponder
from pyproxycache.front.http1.request_activities import Parked, Working, after
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.loop.activity import Activity
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.memory.memory import Memory


class FirstStep:
    """Begins to answer requests by their heads; belongs to the poller.

    `heads` has what memory knows for heads, and `respond` gives that to a connection. `is_open`: nobody has
    to log in, whose password would have to be compared in a thread.
    """

    def __init__(
        self, context: ActivityContext, memory: Memory, responder: MemoryResponder, *, is_open: bool
    ) -> None:
        self._context = context
        self._is_open = is_open
        self._memory = memory
        self.heads = memory.heads
        self.respond = responder.respond

    def from_memory(self, connection: ClientConnection, head: bytes) -> Activity | None:
        """Answer the request from memory; returns the activity that follows, None if memory cannot."""
        known = self.heads.get(head)
        if known is None or known.ingress is not connection.ingress:
            known = self._memory.find(head, connection.ingress)
        return None if known is None else self.respond(connection, known)

    def submit(self, connection: ClientConnection, head: bytes | None) -> Activity:
        """Have a thread answer the request in the buffer, or park it if a thread answers an equal one.

        `head` is None if it is not whole, and the parser is to say what is wrong with it. A CONNECT begins
        at once: up to where its origin is asked, if it ever is, it waits for nothing.
        """
        context = self._context
        # Answers to a client that has logged in are for it alone, and it gets no other client's.
        transaction = Transaction(connection, None if connection.login.is_used else head)
        if self._is_open and head is not None and head.startswith(b"CONNECT "):
            context.runner.answer(transaction)
            return after(transaction, context)
        if context.collapser.park(transaction, context.loop.now):
            return Parked(transaction, context)
        return Working(transaction, context, context.runner.answer)
