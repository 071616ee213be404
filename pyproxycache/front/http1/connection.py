"""A client's connection: what state it is in, and its bytes for a thread that reads a request."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from pyproxycache import clock
from pyproxycache.front.app import Answer
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.loop.sending import FULL, Sending, SendStatus
from pyproxycache.front.loop.turns import Task
from pyproxycache.front.requests.interim import InterimHeads
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.request_body import RequestBody
from pyproxycache.interest import Interest
from pyproxycache.login import Login
from pyproxycache.net.one_client import who
from pyproxycache.steps import Asks, Awaited, Steps

_SILENCE = 60.0

_T = TypeVar("_T")


class State(Enum):
    """Who has the connection, and what for."""

    OPEN = "open"
    """The poller reads the head of the next request."""
    WORKING = "working"
    """A thread answers."""
    AWAITING = "awaiting"
    """What the answer needs is on its way to another one; a thread goes on when it is there."""
    QUEUED = "queued"
    """It is to wait for an origin in a thread, when its turn has come."""
    PARKED = "parked"
    """Another connection's thread is answering the same request."""
    SENDING = "sending"
    """The poller sends an answer."""
    RELAYING = "relaying"
    """The poller passes on, both ways, what is no HTTP any more."""
    LINGERING = "lingering"
    """The poller reads on until the client has seen the end."""
    CLOSED = "closed"


class ClientConnection:
    """One client's connection; belongs to the poller, or to one thread while that is WORKING.

    `buffer` is what was read and not used. `deadline` (monotonic) is when the poller gives it up.
    `readable`: more came while nobody read. `ends`: the client sends no more than is still to be read.
    `head` is that of its request where it was read whole. `closes`: it ends with the answer, and
    `lingers` if the client may be sending still. It `has_turn` where it goes on without any event.
    `unread` bytes of a request's body that nobody wanted are yet to come. `under_way` is the request that
    has no answer yet, and waits for something; `task` is what a thread runs of it, and `origin` whom it
    asks. Its `interest` ends with the client's leaving. `who` stands for the client, each of which has a
    share of the threads; a thread that waits for it stands `aside`. `far` is the descriptor at a tunnel's
    other end. `taken` is how much of an answer it had when it was last looked at whether it is still there.
    """

    __slots__ = (
        "address",
        "answer",
        "aside",
        "buffer",
        "client",
        "closes",
        "deadline",
        "ends",
        "far",
        "fd",
        "has_turn",
        "head",
        "interest",
        "is_admitted",
        "is_local",
        "lingers",
        "login",
        "origin",
        "readable",
        "recv",
        "send",
        "send_status",
        "sending",
        "sock",
        "state",
        "taken",
        "task",
        "under_way",
        "unread",
        "wake",
        "who",
    )

    def __init__(self, sock: socket.socket, address: Any, deadline: float) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.recv = sock.recv
        self.send = sock.send
        self.address = address
        # A peer on a Unix socket is on this machine.
        self.client = str(address[0]) if isinstance(address, tuple) else "127.0.0.1"
        self.who = who(self.client)
        self.is_admitted = self.is_local = False
        self.state = State.OPEN
        self.buffer = b""
        self.head: bytes | None = None
        self.readable = self.ends = False
        self.deadline = deadline
        self.closes = self.lingers = False
        self.unread = 0
        self.has_turn = False
        self.sending: Sending | Tunnel | None = None
        self.far = -1
        self.answer: Answer | None = None
        self.send_status: SendStatus | None = None
        self.under_way: UnderWay | None = None
        self.task: Task | None = None
        self.aside: Callable[[], AbstractContextManager[None]] = nullcontext
        self.origin = ""
        self.taken = 0
        self.interest: Interest | None = None
        self.login = Login()
        self.wake: Callable[[], None]


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
    """The connection's socket for a thread that may wait: for up to a minute at a time.

    Without `waits` it gives what is there, and raises BlockingIOError after that.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.waits = True
        self._connection = connection
        self._sock = connection.sock

    def recv(self, size: int) -> bytes:
        """What was read already, then what comes; b"" at the end. OSError."""
        buffer = self._connection.buffer
        if buffer:
            self._connection.buffer = buffer[size:]
            return buffer[:size]
        if not self.waits:
            return self._sock.recv(size)
        return self._waiting(partial(self._sock.recv, size), select.POLLIN)

    def sendall(self, data: bytes) -> None:
        """All of it; OSError."""
        view = memoryview(data)
        while view:
            view = view[self._waiting(partial(self._sock.send, view), select.POLLOUT) :]

    def fileno(self) -> int:
        return self._sock.fileno()

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)

    def _waiting(self, step: Callable[[], _T], mask: int) -> _T:
        deadline = clock.steady() + _SILENCE
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                wanted = select.POLLIN
            except ssl.SSLWantWriteError:
                wanted = select.POLLOUT
            except FULL:
                wanted = mask
            poll = select.poll()
            poll.register(self._sock, wanted)
            with self._connection.aside():
                found = poll.poll(max(0.0, deadline - clock.steady()) * 1000)
            if not found:
                raise TimeoutError("the client neither sent nor took a byte")
