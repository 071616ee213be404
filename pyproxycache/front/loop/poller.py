"""The loop of a worker's main thread: waits for events, accepts connections, and keeps time."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from pyproxycache import clock
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.listener import Listener
from pyproxycache.net import descriptors
from pyproxycache.net.handshake import ServerHandshake
from pyproxycache.net.stream import PlainStream, Stream

log = logging.getLogger("pyproxycache")

_EVENTS = 512
_ACCEPTED_AT_ONCE = 32
_TICK = 1.0
_ALL = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def everyone(_sock: socket.socket) -> bool:
    """Whether an accepted connection may ask: each may."""
    return True


class Sessions(Protocol):
    """The protocol of what speaks HTTP on the connections that a poller accepts."""

    def open(self, stream: Stream, address: object) -> ClientConnection:
        """Begin a session on a new client's connection."""

    def open_secured(self, handshake: ServerHandshake, address: object) -> ClientConnection:
        """Begin a new client's connection with its handshake, and then a session on it."""

    def open_redirected(self, sock: socket.socket, address: object, scheme: str) -> ClientConnection | None:
        """Begin a session on a connection to an origin, which a firewall has redirected.

        `scheme` is the origin's. None if the connection is closed already.
        """

    def settle(self, now: float) -> float:
        """Do what is due beside the connections; returns when it is to be called again at the latest.

        Both times are monotonic seconds.
        """

    def tick(self) -> None:
        """Drop what is outdated; called about once a second."""

    def write_lines(self) -> None:
        """Give the access log the lines that it does not have yet."""

    def finish(self) -> None:
        """Report what is not reported yet, as the worker ends."""


class Poller:
    """Serves connections until it is stopped; its fields belong to the thread that runs it.

    Other threads use `_posted` and `_is_woken` too, without a lock: a deque is safe by itself, and a
    superfluous wake-up does no harm.
    """

    def __init__(
        self,
        listeners: Iterable[Listener],
        sessions: Callable[[ClientLoop], Sessions],
        most: int,
        welcomes: Callable[[socket.socket], bool] = everyone,
    ) -> None:
        """`sessions` makes those of the connections; there are at most `most` connections at a time.

        `welcomes` tells of an accepted connection whether it may ask anything; others are closed.
        """
        self._now = clock.steady()
        self._next_tick = self._next_beat = self._now + _TICK
        self._due = 0.0
        self._thread = threading.get_ident()
        self._posted: deque[Callable[[], None]] = deque()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_woken = False
        self._epoll = select.epoll()
        self._loop = ClientLoop(self.post, self._watch, self._now)
        self._sessions = sessions(self._loop)
        self._connections = self._loop.connections
        self._most = most
        self._welcomes = welcomes
        self._listeners = {listener.sock.fileno(): listener for listener in listeners}
        for listener in self._listeners.values():
            _have_sent_at_once(listener.sock)
        self._accepting = False
        self._epoll.register(self._waker, select.EPOLLIN)

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return self._loop.clients

    # Other threads.

    def post(self, task: Callable[[], None]) -> None:
        """Have the task done by the poller's thread, soon; any thread may call this."""
        self._posted.append(task)
        if not self._is_woken:
            self._is_woken = True
            os.eventfd_write(self._waker, 1)

    def wake_up(self) -> None:
        """Have the loop call its `beat` now; a signal handler may call this."""
        self._next_beat = 0.0
        os.eventfd_write(self._waker, 1)

    def close_idle(self) -> bool:
        """Close some idle connections; returns whether there were any. Any thread may call this."""
        if threading.get_ident() == self._thread:
            return self._loop.close_idle()
        done, closed = threading.Event(), []

        def close() -> None:
            closed.append(self._loop.close_idle())
            done.set()

        self.post(close)
        return done.wait(_TICK) and any(closed)

    def write_lines(self) -> None:
        """Give the access log the lines that it does not have yet; a signal handler may call this."""
        self._sessions.write_lines()

    # The loop.

    def run(self, beat: Callable[[], bool]) -> None:
        """Serve until `beat`, which is called about once a second, returns false."""
        while beat():
            self._next_beat = self._now + _TICK
            self._accept_if(self._loop.clients < self._most or self._loop.close_idle())
            self._accept_left()
            while self._now < self._next_beat:
                self._pass()

    def finish(self, beat: Callable[[], bool], until: float) -> None:
        """Accept no more, and serve the connections there are until all have ended, or until this time.

        `until` is in monotonic seconds.
        """
        self._accept_if(False)
        for listener in self._listeners.values():
            # No client shall queue for a worker that accepts no more; a next server may need the port.
            listener.sock.close()
        self._loop.stop()
        while self._connections and self._now < until:
            beat()
            self._next_beat = min(until, self._now + _TICK)
            while self._connections and self._now < self._next_beat:
                self._pass()
        self._loop.cut_off()
        self._sessions.finish()

    def _pass(self) -> None:
        """Wait for events, and do all that is to be done then."""
        loop = self._loop
        waits = 0.0 if loop.turns or self._posted else min(self._next_beat, self._due) - self._now
        called = []
        events = self._epoll.poll(max(0.0, waits), _EVENTS)
        self._now = loop.now = clock.steady()
        if self._posted:
            # Before events: a client that has an answer may send a request because of it, which must not be
            # taken for one that waited for the answer.
            owners = [self._connections.get(fd) for fd, _event in events]
            self._do_posted()
            # A connection that this has closed has no events any more, nor has who got its number.
            events = [
                one
                for one, owner in zip(events, owners, strict=True)
                if self._connections.get(one[0]) is owner
            ]
        for fd, event in events:
            connection = self._connections.get(fd)
            if connection is not None:
                loop.on_event(connection, event)
            elif fd == self._waker:
                os.eventfd_read(fd)
            elif fd in self._listeners:
                called.append(self._listeners[fd])
        # Last: a newcomer may get the number of one that was closed meanwhile, and its events with that.
        for listener in called:
            self._accept(listener)
        self._now = loop.now = clock.steady()
        self._do_posted()
        loop.take_turns()
        if self._now >= self._next_tick:
            self._next_tick = self._now + _TICK
            loop.tick()
            self._sessions.tick()
        self._due = self._sessions.settle(self._now)

    def _do_posted(self) -> None:
        self._is_woken = False
        for _ in range(len(self._posted)):
            try:
                self._posted.popleft()()
            except Exception:
                log.exception("what a thread had for the poller failed")

    # Accepting.

    def _accept_if(self, wanted: bool) -> None:
        if wanted == self._accepting:
            return
        self._accepting = wanted
        for fd in self._listeners:
            if wanted:
                self._epoll.register(fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            else:
                self._epoll.unregister(fd)

    def _accept_left(self) -> None:
        """Accept clients that wait although this worker was not woken: the worker that was may be busy."""
        for listener in self._listeners.values():
            if self._accepting:
                self._accept(listener)

    def _watch(self, fd: int) -> None:
        """Get all events of the descriptor, edge-triggered, until it is closed; raises OSError."""
        self._epoll.register(fd, _ALL)

    def _accept(self, listener: Listener) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, address = listener.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    if self._loop.close_idle() or any(close() for close in descriptors.closers):
                        continue
                    log.warning("no connection can be accepted for now: %s", error.strerror)
                    self._accept_if(False)  # until the next tick
                    return
                continue  # the client is gone already
            if not self._welcomes(sock):
                sock.close()
                continue
            connection = self._opened(listener, sock, address)
            if connection is None:
                continue
            try:
                self._watch(connection.fd)
            except OSError as error:
                log.warning("a connection cannot be watched: %s", error)
                self._loop.close(connection)
                return
            if listener.tls is None:
                self._loop.on_event(connection, select.EPOLLIN)  # most have sent a request already
            if self._loop.clients >= self._most and not self._loop.close_idle():
                self._accept_if(False)
                return

    def _opened(self, listener: Listener, sock: socket.socket, address: object) -> ClientConnection | None:
        """Begin a session on an accepted connection; None if it is closed already."""
        if listener.redirected:
            return self._sessions.open_redirected(sock, address, listener.redirected)
        if listener.tls is None:
            return self._sessions.open(PlainStream(sock), address)
        handshake = ServerHandshake(PlainStream(sock), listener.tls.end)
        return self._sessions.open_secured(handshake, address)


def _have_sent_at_once(sock: socket.socket) -> None:
    """Have what is sent on the socket's connections leave at once, and not wait for what came before.

    Frames of HTTP/2 are sent one after the other, of which the client may acknowledge none for 40 ms.
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
