"""One client's connection: its stream, its client, what was read from it, and what it is doing."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from pyproxycache.connection_login import ConnectionLogin
from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.requests.ingress import PLAIN
from pyproxycache.net.ip_addresses import client_of
from pyproxycache.net.stream import Stream


class ClientConnection:
    """One client's connection; belongs to the poller, or to the thread that its activity gave it to.

    `buffer` has bytes that were read and not used yet. `readable`: the socket may have more to read.
    `ends`: the client has closed its sending side. `unread` counts bytes still to come of a request body
    that is passed over. `has_turn`: it is in line to go on without an event. `limited_client` is the client
    as limits count it (net/ip_addresses.py). `ingress` is how its requests come in; `server_name` the name
    that the client has asked for in TLS, "" for none. `reading` is the activity that waits for the next
    request; `wake` has the present activity go on, and may be called by any thread.
    """

    __slots__ = (
        "activity",
        "address",
        "buffer",
        "client",
        "ends",
        "fd",
        "has_turn",
        "ingress",
        "is_admitted",
        "is_local",
        "limited_client",
        "login",
        "readable",
        "reading",
        "recv",
        "send",
        "server_name",
        "stream",
        "unread",
        "wake",
    )

    def __init__(self, stream: Stream, address: Any) -> None:
        self.fd = stream.fileno()
        self.go_on_by(stream)
        self.ingress = PLAIN
        self.server_name = ""
        self.address = address
        # A peer on a Unix socket is on this machine; a dual-stack one shows IPv4 peers as ::ffff:192.0.2.7.
        text = str(address[0]) if isinstance(address, tuple) else "127.0.0.1"
        self.client = text.removeprefix("::ffff:") if "." in text else text
        self.limited_client = client_of(self.client)
        self.is_admitted = self.is_local = False
        self.buffer = b""
        self.unread = 0
        self.readable = self.ends = False
        self.has_turn = False
        self.login = ConnectionLogin()
        self.activity: Activity = CLOSED
        self.reading: Activity = CLOSED
        self.wake: Callable[[], None]

    def go_on_by(self, stream: Stream) -> None:
        """Read and send by this stream from now on, which has the same descriptor."""
        self.stream = stream
        self.recv = stream.recv
        self.send = stream.send

    def beside(self, stream: Stream) -> ClientConnection:
        """A connection of the same client, by the same way, over a further stream."""
        made = ClientConnection.__new__(ClientConnection)
        made.fd = stream.fileno()
        made.go_on_by(stream)
        made.ingress, made.server_name, made.address = self.ingress, "", self.address
        made.client, made.limited_client = self.client, self.limited_client
        made.is_admitted, made.is_local = self.is_admitted, self.is_local
        made.buffer, made.unread = b"", 0
        made.readable = made.ends = made.has_turn = False
        made.login = ConnectionLogin()
        made.activity = made.reading = CLOSED
        return made

    @property
    def is_open(self) -> bool:
        return self.activity is not CLOSED

    def note(self, event: int) -> None:
        """Remember an edge-triggered event, which is not reported again, for the next read."""
        if event & select.EPOLLRDHUP:
            self.ends = True
        if event & ~select.EPOLLOUT:
            self.readable = True

    def close(self) -> None:
        """Close the stream, and the client's connection to an origin at which it has logged in."""
        self.activity = self.reading = CLOSED
        self.stream.close()
        self.login.close()
        del self.wake
