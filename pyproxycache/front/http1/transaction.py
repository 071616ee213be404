"""One request of a connection and its answer, and the connection as a stream that a thread waits for."""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from pyproxycache import clock
from pyproxycache.cancellation import Cancellation
from pyproxycache.front.answers.answer import Answer
from pyproxycache.front.loop.answer_writer import AnswerWriter, SendStatus
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.loop.turns import Task
from pyproxycache.front.requests.interim import InterimHeads
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.request_body import RequestBody
from pyproxycache.steps import Asks, Awaited, Steps

_SILENCE = 60.0


class Sent(Protocol):
    """Bytes of an answer that were sent: `head_bytes` of its head, `sent` of its body, `taken` in all."""

    @property
    def head_bytes(self) -> int: ...

    @property
    def sent(self) -> int: ...

    @property
    def taken(self) -> int: ...


class Transaction:
    """One request of a connection and its answer; used by the thread that has the connection.

    `head` has the request head's bytes, None if it is not whole or equal heads may not share an answer.
    `under_way` is set while the request has no answer yet; `cancellation` breaks off what is done for it
    when the client leaves. `task` is what a thread runs of it, `origin` the one asked, and `aside` makes
    the context in which that thread waits for the client. `writer` sends the `answer`; once its head is
    sent, a `tunnel` may have the connection. `status` tells how far the answer has come, None that it was
    broken off. The connection `closes` with the answer, and `lingers` if the client may still be sending.
    """

    __slots__ = (
        "answer",
        "aside",
        "cancellation",
        "closes",
        "connection",
        "head",
        "lingers",
        "origin",
        "status",
        "task",
        "tunnel",
        "under_way",
        "writer",
    )

    def __init__(self, connection: ClientConnection, head: bytes | None = None) -> None:
        self.connection = connection
        self.head = head
        self.under_way: UnderWay | None = None
        self.cancellation: Cancellation | None = None
        self.task: Task | None = None
        self.aside: Callable[[], AbstractContextManager[None]] = nullcontext
        self.origin = ""
        self.writer: AnswerWriter | None = None
        self.tunnel: Tunnel | None = None
        self.answer: Answer | None = None
        self.status: SendStatus | None = None
        self.closes = self.lingers = False

    @property
    def sender(self) -> Sent | None:
        """What sends the answer: its writer, or the tunnel; None if there is no answer yet."""
        return self.writer if self.tunnel is None else self.tunnel


@dataclass(slots=True)
class UnderWay:
    """A request that is being answered in steps.

    `interim` sends heads before the final one. `parsed` is set if content may follow the request's head.
    `awaited` is what the next step waits for.
    """

    received: RawRequest
    steps: Steps[Answer]
    interim: InterimHeads
    parsed: Parsed | None = None
    awaited: Awaited | Asks | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request that gunicorn's parser has read from the source, and its body."""

    source: BlockingStream
    parser: Any
    request: Any
    body: RequestBody


class BlockingStream:
    """The connection's stream for a thread that may wait, for up to a minute at a time.

    If `waits` is false, reading returns what has come, and then raises BlockingIOError.
    """

    def __init__(self, transaction: Transaction) -> None:
        self.waits = True
        self._transaction = transaction
        self._connection = transaction.connection
        self._stream = transaction.connection.stream
        self.fileno = self._stream.fileno
        self.half_close = self._stream.half_close

    def recv(self, size: int) -> bytes:
        """The next bytes, first those in the connection's buffer; b"" at the end. Raises OSError."""
        buffer = self._connection.buffer
        if buffer:
            self._connection.buffer = buffer[size:]
            return buffer[:size]
        deadline = clock.steady() + _SILENCE
        while True:
            try:
                return self._stream.recv(size)
            except BlockingIOError:
                if not self.waits:
                    raise
                self._wait(self._stream.recv_waits_for, deadline)

    def sendall(self, data: bytes) -> None:
        """Send all of the data; raises OSError, TimeoutError if the client takes no byte for a minute."""
        view = memoryview(data)
        deadline = clock.steady() + _SILENCE
        while view:
            try:
                view = view[self._stream.send(view) :]
                deadline = clock.steady() + _SILENCE
            except BlockingIOError:
                self._wait(self._stream.send_waits_for, deadline)

    def _wait(self, events: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(self._stream, events)
        with self._transaction.aside():
            found = poll.poll(max(0.0, deadline - clock.steady()) * 1000)
        if not found:
            raise TimeoutError("the client neither sent nor took a byte")
