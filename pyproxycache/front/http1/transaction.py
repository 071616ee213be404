"""One request of a connection and its answer, and the connection's bytes for a thread that reads it."""

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
    """How much of an answer was sent: `head_bytes` of its head, `sent` of its body, `taken` in all."""

    @property
    def head_bytes(self) -> int: ...

    @property
    def sent(self) -> int: ...

    @property
    def taken(self) -> int: ...


class Transaction:
    """One request of a connection, to the end of its answer; belongs to whoever has the connection.

    `head` is that of the request where it was read whole, and others may ask the same. `under_way` is there
    while the request has no answer yet, and waits for something; its `cancellation` ends with the client's
    leaving. `task` is what a thread runs of it, `origin` whom it asks; a thread that waits for the client
    stands `aside`. `writer` sends the `answer`, and behind some heads the connection is the `tunnel`'s;
    `status` tells how far it came: None where it was broken off. The connection `closes` with the answer,
    and `lingers` if the client may be sending still.
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
        """What sends, where there is an answer."""
        return self.writer if self.tunnel is None else self.tunnel


@dataclass(slots=True)
class UnderWay:
    """A request that is being answered in steps.

    `interim` takes what goes before the answer, `parsed` is there where there may be something behind the
    request's head. `awaited` is what the next step waits for.
    """

    received: RawRequest
    steps: Steps[Answer]
    interim: InterimHeads
    parsed: Parsed | None = None
    awaited: Awaited | Asks | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request as gunicorn's parser read it: from the source, with its body."""

    source: BlockingStream
    parser: Any
    request: Any
    body: RequestBody


class BlockingStream:
    """The connection's stream for a thread that may wait: for up to a minute at a time.

    Without `waits` it gives what is there, and raises BlockingIOError after that.
    """

    def __init__(self, transaction: Transaction) -> None:
        self.waits = True
        self._transaction = transaction
        self._connection = transaction.connection
        self._stream = transaction.connection.stream
        self.fileno = self._stream.fileno
        self.half_close = self._stream.half_close

    def recv(self, size: int) -> bytes:
        """What was read already, then what comes; b"" at the end. OSError."""
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
        """All of it; OSError."""
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
