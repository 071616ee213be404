"""Keeps a worker's client connections, and takes each from one activity to the next."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial

from pyproxycache import clock
from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.connection import ClientConnection

log = logging.getLogger("pyproxycache")

_CLOSED_AT_ONCE = 8  # one of so many idle connections is closed at a time
_TURNS, _TURN_SECONDS = 64, 0.01
"""How many connections have their turn, and for how long, before events are looked at again."""

Post = Callable[[Callable[[], None]], None]
"""Has the call made by the poller's thread, soon; any thread may use it."""

Watch = Callable[[int], None]
"""Has the poller pass on all events of a descriptor, until that is closed; raises OSError."""


class ClientLoop:
    """The open connections and their activities; belongs to the poller's thread.

    `connections` has the open connections by descriptor, and the streams of some by negative numbers.
    `turns` has those that go on without an event. `now` (monotonic seconds) is set by the poller.
    `is_stopping`: the worker is to end, and keeps no connection.
    """

    def __init__(self, post: Post, watch: Watch, now: float) -> None:
        self.connections: dict[int, ClientConnection] = {}
        self._further: set[int] = set()  # further descriptors, besides each connection's own
        self._streams = 0
        self.turns: deque[ClientConnection] = deque()
        self.now = now
        self.is_stopping = False
        self.post = post
        self.watch = watch

    def add(self, connection: ClientConnection) -> None:
        """Add a new connection, which waits for its first request."""
        connection.wake = partial(self.post, partial(self._wake, connection))
        connection.activity = connection.reading
        self.connections[connection.fd] = connection
        self._streams += connection.fd < 0

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self.connections) - len(self._further) - self._streams

    def watch_for(self, connection: ClientConnection, fd: int) -> None:
        """Give the connection the events of a further descriptor too, until forget(); raises OSError."""
        self.connections[fd] = connection
        self._further.add(fd)
        self.watch(fd)

    def forget(self, fd: int) -> None:
        """Stop passing on the further descriptor's events."""
        self.connections.pop(fd, None)
        self._further.discard(fd)

    def on_event(self, connection: ClientConnection, event: int) -> None:
        """Have the connection's activity react to epoll's events."""
        activity = connection.activity
        try:
            following = activity.on_event(event)
            if following is not activity:
                self._turn_to(connection, following)
        except Exception:
            self._fail(connection)

    def step(self, connection: ClientConnection, step: Callable[[], Activity]) -> None:
        """Take a step, which returns the next activity; if it fails, only this connection ends."""
        try:
            following = step()
            if following is not connection.activity:
                self._turn_to(connection, following)
        except Exception:
            self._fail(connection)

    def turn_to(self, connection: ClientConnection, activity: Activity) -> None:
        """Give a connection another activity from outside its own steps."""
        self.step(connection, lambda: activity)

    def _turn_to(self, connection: ClientConnection, following: Activity) -> None:
        while following is not (activity := connection.activity):
            if following is CLOSED:
                self.close(connection)
                return
            connection.activity = following
            activity.end()
            following = following.begin()

    def _wake(self, connection: ClientConnection) -> None:
        self.step(connection, connection.activity.woken)

    def have_turn(self, connection: ClientConnection) -> None:
        """Put the connection in line: it goes on after the others have had their turn."""
        if not connection.has_turn:
            connection.has_turn = True
            self.turns.append(connection)

    def take_turns(self) -> None:
        """Let the connections that are first in line go on."""
        until = clock.steady() + _TURN_SECONDS
        for _ in range(min(len(self.turns), _TURNS)):
            connection = self.turns.popleft()
            connection.has_turn = False
            self.step(connection, connection.activity.advance)
            if clock.steady() > until:  # as of handshakes
                break

    def tick(self) -> None:
        """Expire the connections whose deadline is over; called about once a second."""
        for connection in list(self.connections.values()):
            if connection.activity.deadline < self.now:
                self.step(connection, connection.activity.expire)

    def close_idle(self) -> bool:
        """Close the longest idle connections, to free descriptors; returns whether there were any."""
        idle = [one for one in self.connections.values() if one.activity.is_idle]
        idle.sort(key=lambda one: one.activity.deadline)
        for connection in idle[: max(1, len(idle) // _CLOSED_AT_ONCE)]:
            self.step(connection, connection.activity.give_way)
        return bool(idle)

    def stop(self) -> None:
        """Take no further requests, and let those that have begun finish."""
        self.is_stopping = True
        for connection in list(self.connections.values()):
            self.step(connection, connection.activity.stop)

    def cut_off(self) -> None:
        """Break off all that is still going on, as the worker ends now."""
        for connection in list(self.connections.values()):
            self.step(connection, connection.activity.cut_off)

    def close(self, connection: ClientConnection) -> None:
        """Close the connection, whatever it is doing."""
        if connection.is_open:
            activity = connection.activity
            del self.connections[connection.fd]
            self._streams -= connection.fd < 0
            connection.close()
            activity.end()

    def _fail(self, connection: ClientConnection) -> None:
        log.exception("the connection of %s failed inside the cache", connection.client)
        try:
            following = connection.activity.break_off()
        except Exception:  # what failed may do so again
            following = CLOSED
        if following is CLOSED:
            self.close(connection)
