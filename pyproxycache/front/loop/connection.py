"""One client's connection: its stream, whose it is, what was read of it, and what it is doing."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from pyproxycache.connection_login import ConnectionLogin
from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.net.one_client import who
from pyproxycache.net.stream import Stream


class ClientConnection:
    """One client's connection; belongs to the poller, or to the thread that its activity has given it to.

    `buffer` is what was read and not used. `readable`: more came while nobody read. `ends`: the client
    sends no more than is still to be read. `unread` bytes of a request's body that nobody wanted are yet to
    come. It `has_turn` where it goes on without any event. `who` stands for the client, each of which has a
    share of the threads. `reading` is the activity of waiting for the next request, `wake` has the present
    one go on, and may be called by any thread.
    """

    __slots__ = (
        "activity",
        "address",
        "buffer",
        "client",
        "ends",
        "fd",
        "has_turn",
        "is_admitted",
        "is_local",
        "login",
        "readable",
        "reading",
        "recv",
        "send",
        "stream",
        "unread",
        "wake",
        "who",
    )

    def __init__(self, stream: Stream, address: Any) -> None:
        self.stream = stream
        self.fd = stream.fileno()
        self.recv = stream.recv
        self.send = stream.send
        self.address = address
        # A peer on a Unix socket is on this machine.
        self.client = str(address[0]) if isinstance(address, tuple) else "127.0.0.1"
        self.who = who(self.client)
        self.is_admitted = self.is_local = False
        self.buffer = b""
        self.unread = 0
        self.readable = self.ends = False
        self.has_turn = False
        self.login = ConnectionLogin()
        self.activity: Activity = CLOSED
        self.reading: Activity = CLOSED
        self.wake: Callable[[], None]

    @property
    def is_open(self) -> bool:
        return self.activity is not CLOSED

    def note(self, event: int) -> None:
        """Remember what the next read has to know of epoll's events: no further one will tell of it."""
        if event & select.EPOLLRDHUP:
            self.ends = True
        if event & ~select.EPOLLOUT:
            self.readable = True

    def close(self) -> None:
        """Be done with the connection."""
        self.activity = self.reading = CLOSED
        self.stream.close()
        self.login.close()
        del self.wake
