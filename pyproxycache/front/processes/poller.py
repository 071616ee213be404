"""The loop of a worker's main thread: waits for whatever comes, accepts, and keeps time."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable

from pyproxycache import clock
from pyproxycache.front.http1.client_loop import ClientLoop, Post, Watch
from pyproxycache.net import descriptors

log = logging.getLogger("pyproxycache")

_EVENTS = 512
_ACCEPTED_AT_ONCE = 32
_TICK = 1.0
_RELIEF = 0.002
_ALL = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Poller:
    """Serves connections until it is stopped; its fields belong to the thread that runs it.

    But for `_posted` and `_is_woken`, by which other threads have something done: a deque is safe by
    itself, and a wake-up too many does no harm.
    """

    def __init__(
        self,
        listeners: Iterable[socket.socket],
        clients: Callable[[Post, Watch, float], ClientLoop],
        most: int,
    ) -> None:
        """`clients` makes them, given `post`, `watch` and the time; `most` connections at a time."""
        self._now = clock.steady()
        self._next_tick = self._next_beat = self._now + _TICK
        self._thread = threading.get_ident()
        self._posted: deque[Callable[[], None]] = deque()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_woken = False
        self._epoll = select.epoll()
        self._clients = clients(self.post, self._watch, self._now)
        self._connections = self._clients.connections
        self._most = most
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._accepting = False
        self._epoll.register(self._waker, select.EPOLLIN)

    # Other threads.

    def post(self, task: Callable[[], None]) -> None:
        """Have the task done by the poller's thread, soon; any thread may call this."""
        self._posted.append(task)
        if not self._is_woken:
            self._is_woken = True
            os.eventfd_write(self._waker, 1)

    def wake_up(self) -> None:
        """Have the loop look whether it is to go on; a signal's handler may call this."""
        self._next_beat = 0.0
        os.eventfd_write(self._waker, 1)

    def close_idle(self) -> bool:
        """Have connections closed that wait for their next request; any thread may call this."""
        if threading.get_ident() == self._thread:
            return self._clients.close_idle()
        done, closed = threading.Event(), []

        def close() -> None:
            closed.append(self._clients.close_idle())
            done.set()

        self.post(close)
        return done.wait(_TICK) and any(closed)

    def write_lines(self) -> None:
        """Give the access log what is still to be told; a signal's handler may call this."""
        self._clients.memory_responder.write_lines()

    # The loop.

    def run(self, beat: Callable[[], bool]) -> None:
        """Serve until `beat`, which is called about once a second, says no."""
        while beat():
            self._next_beat = self._now + _TICK
            self._accept_if(len(self._connections) < self._most or self._clients.close_idle())
            self._accept_left()
            while self._now < self._next_beat:
                self._pass()

    def finish(self, beat: Callable[[], bool], until: float) -> None:
        """Accept no more, and serve who is there until all are gone or it is too late (monotonic)."""
        self._accept_if(False)
        for listener in self._listeners.values():
            # Nobody shall queue for a worker that accepts no more, and a successor may need the port.
            listener.close()
        self._clients.stop()
        while self._connections and self._now < until:
            beat()
            self._next_beat = min(until, self._now + _TICK)
            while self._connections and self._now < self._next_beat:
                self._pass()
        self._clients.memory_responder.report()

    def _pass(self) -> None:
        """Wait for something to do, and do all there is."""
        clients = self._clients
        due = min(self._next_beat, clients.memory_responder.report_at)
        if clients.threads.is_behind:
            due = min(due, self._now + _RELIEF)
        waits = 0.0 if clients.turns or self._posted else due - self._now
        for fd, event in self._epoll.poll(max(0.0, waits), _EVENTS):
            connection = self._connections.get(fd)
            if connection is not None:
                clients.on_event(connection, event)
            elif fd == self._waker:
                os.eventfd_read(fd)
            elif fd in self._listeners:
                self._accept(self._listeners[fd])
        self._now = clients.now = clock.steady()
        self._do_posted()
        clients.take_turns()
        if clients.threads.is_behind:
            clients.threads.relieve(self._now)
        if self._now >= clients.memory_responder.report_at:
            clients.memory_responder.report()
        if self._now >= self._next_tick:
            self._next_tick = self._now + _TICK
            clients.tick()

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
        """Accept whom a worker was woken for that does not get to run: others are not woken for them."""
        for listener in self._listeners.values():
            if self._accepting:
                self._accept(listener)

    def _watch(self, fd: int) -> None:
        """Be told of everything that happens on the descriptor, up to its closing; raises OSError."""
        self._epoll.register(fd, _ALL)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    if self._clients.close_idle() or any(close() for close in descriptors.closers):
                        continue
                    log.warning("no connection can be accepted for now: %s", error.strerror)
                    self._accept_if(False)  # until the next tick
                    return
                continue  # it is gone already
            sock.setblocking(False)
            connection = self._clients.open(sock, address)
            try:
                self._watch(connection.fd)
            except OSError as error:
                log.warning("a connection cannot be watched: %s", error)
                self._clients.close(connection)
                return
            self._clients.on_event(connection, select.EPOLLIN)  # a client asks at once
            if len(self._connections) >= self._most and not self._clients.close_idle():
                self._accept_if(False)
                return
