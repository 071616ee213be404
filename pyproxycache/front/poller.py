"""The loop of a worker's main thread: accepts, reads heads, answers from memory, sends, and keeps time."""

from __future__ import annotations

import errno
import logging
import os
import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from pyproxycache.front.answering import Answering
from pyproxycache.front.app import App
from pyproxycache.front.connection import Connection, State
from pyproxycache.front.memory import Memory
from pyproxycache.front.parking import Parking
from pyproxycache.front.repeating import Repeating
from pyproxycache.front.repeats import Repeat
from pyproxycache.front.sending import FULL, Halt
from pyproxycache.front.threads import Threads
from pyproxycache.gates.access import is_local

log = logging.getLogger("pyproxycache")

_READ = 16 << 10
_LONGEST_HEAD = 64 << 10
_EVENTS = 512
_ACCEPTED_AT_ONCE = 32
_KEEPALIVE = 75.0
_SILENCE = 60.0
_LINGERS = 2.0
_TICK = 1.0
_ANY_MOMENT = float("inf")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# An empty line before it is passed over (RFC 9112 section 2.2).
_REQUEST_LINE = re.compile(rb"(?:\r\n)?[!-~]+ [!-~]+ HTTP/1\.[0-9]\r")

_GONE = select.EPOLLHUP | select.EPOLLERR
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
        app: App,
        threads: Threads,
        answering: Callable[[Callable[[Connection, Repeat | None, bool], None]], Answering],
        most: int,
    ) -> None:
        """`most` connections at a time."""
        self._app = app
        self._threads = threads
        self._answering = answering(self._learn)
        access_log = app.reporter.log
        line = None if access_log is None else access_log.rest
        by_agent = access_log is not None and access_log.by_agent
        self._memory = Memory(app.memory_size, line, by_agent=by_agent)
        self._heads = self._memory.heads
        self._repeating = Repeating(app, self._memory, self._answering)
        self._parking = Parking()
        self._most = most
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._accepting = False
        self._connections: dict[int, Connection] = {}
        self._turns: deque[Connection] = deque()
        self._now = time.monotonic()
        self._next_tick = self._next_beat = self._now + _TICK
        self._epoll = select.epoll()
        self._posted: deque[Callable[[], None]] = deque()
        self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_woken = False
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

    def write_lines(self) -> None:
        """Give the access log what is still to be told; a signal's handler may call this."""
        self._repeating.write_lines()

    def _learn(self, connection: Connection, repeat: Repeat | None, is_shared: bool) -> None:
        assert connection.head is not None, "without a head there is nothing to learn"
        self.post(partial(self._answered, connection, connection.head, repeat, is_shared))

    def _work(self, connection: Connection) -> None:
        """In a thread: answer a request."""
        try:
            self._answering.answer(connection)
        finally:
            self.post(partial(self._returned, connection))

    def _go_on(self, connection: Connection) -> None:
        """In a thread: go on with an answer whose body may have to be waited for."""
        try:
            self._answering.advance(connection, waits=True)
        finally:
            self.post(partial(self._returned, connection))

    # The loop.

    def run(self, beat: Callable[[], bool]) -> None:
        """Serve until `beat`, which is called about once a second, says no."""
        while beat():
            self._next_beat = self._now + _TICK
            self._accept_if(len(self._connections) < self._most)
            self._passes()

    def finish(self, beat: Callable[[], bool], until: float) -> None:
        """Accept no more, and serve who is there until all are gone or it is too late (monotonic)."""
        self._repeating.is_stopping = True
        self._accept_if(False)
        for listener in self._listeners.values():
            # Nobody shall queue for a worker that accepts no more, and a successor may need the port.
            listener.close()
        for connection in self._connections.values():
            if connection.state is State.OPEN:
                connection.deadline = min(connection.deadline, self._now + _LINGERS)
        while self._connections and self._now < until:
            beat()
            self._next_beat = min(until, self._now + _TICK)
            self._passes()
        self._repeating.report()

    def _passes(self) -> None:
        while self._now < self._next_beat and (self._connections or self._accepting):
            self._pass()

    def _pass(self) -> None:
        """Wait for something to do, and do all there is."""
        due = min(self._next_beat, self._repeating.report_at)
        waits = 0.0 if self._turns or self._posted else due - self._now
        for fd, event in self._epoll.poll(max(0.0, waits), _EVENTS):
            connection = self._connections.get(fd)
            if connection is not None:
                self._on_event(connection, event)
            elif fd == self._waker:
                os.eventfd_read(fd)
            elif fd in self._listeners:
                self._accept(self._listeners[fd])
        self._now = time.monotonic()
        self._do_posted()
        for _ in range(len(self._turns)):
            self._take_turn(self._turns.popleft())
        if self._now >= self._repeating.report_at:
            self._repeating.report()
        if self._now >= self._next_tick:
            self._tick()

    def _do_posted(self) -> None:
        self._is_woken = False
        for _ in range(len(self._posted)):
            self._posted.popleft()()

    def _tick(self) -> None:
        self._next_tick = self._now + _TICK
        for connection in list(self._connections.values()):
            if connection.deadline < self._now:
                self._expire(connection)
        self._memory.sweep(self._app.versions)
        self._parking.sweep(self._now)
        self._accept_if(not self._repeating.is_stopping and len(self._connections) < self._most)

    def _expire(self, connection: Connection) -> None:
        if connection.state is State.SENDING:
            self._answering.give_up(connection)
        if connection.state in (State.OPEN, State.SENDING, State.LINGERING):
            self._close(connection)

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

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    log.warning("no connection can be accepted for now: %s", error.strerror)
                    self._accept_if(False)  # until the next tick
                    return
                continue  # it is gone already
            self._open(sock, address)
            if len(self._connections) >= self._most:
                self._accept_if(False)
                return

    def _open(self, sock: socket.socket, address: object) -> None:
        sock.setblocking(False)
        connection = Connection(sock, address, self._now + _KEEPALIVE)
        connection.is_admitted = self._app.admits(connection.client)
        connection.is_local = is_local(connection.client)
        connection.wake = partial(self.post, partial(self._woken, connection))
        self._connections[connection.fd] = connection
        self._epoll.register(connection.fd, _ALL)
        self._read(connection)  # a client asks at once

    # One connection.

    def _on_event(self, connection: Connection, event: int) -> None:
        state = connection.state
        if event & select.EPOLLRDHUP:
            connection.ends = True  # no further event will tell of it
        if state is State.OPEN:
            self._read(connection)
            return
        # Each useless read would be a moment for threads to take the interpreter away.
        if event & ~select.EPOLLOUT:
            connection.readable = True
        if state is State.SENDING:
            if event & _GONE and connection.halt is Halt.AWAITING:
                self._answering.give_up(connection)
                self._close(connection)
            elif event & ~select.EPOLLIN:
                self._advance(connection)
        elif state is State.LINGERING:
            self._linger(connection)

    def _read(self, connection: Connection) -> None:
        """Read what is there, of much a turn's worth, and answer what of it is there whole."""
        try:
            data = connection.recv(_READ)
        except FULL:
            connection.readable = False
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        connection.readable = connection.ends or len(data) == _READ
        known = None if connection.buffer or connection.unread else self._heads.get(data)
        if known is not None and self._repeating.repeat(connection, data, known):
            self._after_repeat(connection)
        else:
            connection.buffer += data
            self._parse(connection)
        if connection.readable and connection.state is State.OPEN:
            self._turns.append(connection)  # who sends without end is not all there is to do

    def _parse(self, connection: Connection) -> None:
        """Answer the requests whose heads are in the buffer, one after the other."""
        while connection.state is State.OPEN and (buffer := connection.buffer):
            if connection.unread:
                count = min(connection.unread, len(buffer))
                connection.buffer, connection.unread = buffer[count:], connection.unread - count
                continue
            found = _END_OF_HEAD.search(buffer)
            if found is None:
                connection.deadline = min(connection.deadline, self._now + _SILENCE)
                line_end = buffer.find(b"\n", 2)
                strange = line_end >= 0 and not _REQUEST_LINE.fullmatch(buffer[:line_end])
                if strange or len(buffer) > _LONGEST_HEAD:
                    self._submit(connection, None)  # to the parser, which knows what to say
                return
            head = buffer[: found.end()]
            known = self._heads.get(head) or self._memory.find(head)
            if known is None or not self._repeating.repeat(connection, head, known):
                self._submit(connection, head)
                return
            connection.buffer = buffer[found.end() :]
            self._after_repeat(connection)

    def _after_repeat(self, connection: Connection) -> None:
        """From memory: it was sent whole, or as far as the client took it, or the client has gone."""
        if connection.halt is Halt.DONE:
            if connection.closes:
                self._end(connection)
            else:
                connection.deadline = self._now + _KEEPALIVE
        else:
            connection.state = State.SENDING
            self._halted(connection)

    def _submit(self, connection: Connection, head: bytes | None) -> None:
        """Have a thread answer, unless one is about to answer the same."""
        connection.head = head
        if head is not None and self._parking.park(connection, head, self._now):
            connection.state = State.PARKED
        else:
            self._start(connection)

    def _start(self, connection: Connection) -> None:
        connection.state = State.WORKING
        connection.closes = connection.lingers = False
        connection.halt = None
        self._threads.submit(partial(self._work, connection))

    def _answered(
        self, connection: Connection, head: bytes, repeat: Repeat | None, is_shared: bool
    ) -> None:
        """A thread has the answer: keep it, and give it to those who wait for the same."""
        if repeat is not None:
            self._memory.learn(head, repeat)
        elif not is_shared:
            self._parking.avoid(head, self._now)
        known = self._heads.get(head)
        wait = self._parking.release(connection, head)
        left = []
        for other in wait.waiting:
            other.state = State.OPEN
            if known is not None and self._repeating.repeat(other, head, known, waited=True):
                other.buffer = other.buffer[len(head) :]
                self._after_repeat(other)
                self._next_soon(other)
            else:
                left.append(other)
        if left and is_shared and not wait.is_second:
            # What was stored for the first is there for the second, and in memory for the others.
            for other in left:
                other.state = State.PARKED
            left = [self._parking.wait_again(head, left)]
        for other in left:
            self._start(other)

    def _returned(self, connection: Connection) -> None:
        """A thread is done with the connection, for now."""
        if connection.head is not None:
            for other in self._parking.release(connection, connection.head).waiting:
                self._start(other)
            connection.head = None
        connection.state = State.SENDING
        if connection.halt in (None, Halt.DONE):
            self._halted(connection)
        else:
            self._advance(connection)  # what it waited for may have come meanwhile

    def _woken(self, connection: Connection) -> None:
        if connection.state is State.SENDING:
            self._advance(connection)

    def _take_turn(self, connection: Connection) -> None:
        if connection.state is State.SENDING:
            self._advance(connection)
        elif connection.state is State.OPEN:
            self._parse(connection)
            if connection.state is State.OPEN and connection.readable:
                self._read(connection)

    def _advance(self, connection: Connection) -> None:
        self._answering.advance(connection, waits=False)
        self._halted(connection)

    def _halted(self, connection: Connection) -> None:
        match connection.halt:
            case Halt.DONE:
                self._next(connection)
            case Halt.FULL:
                connection.deadline = self._now + _SILENCE
            case Halt.AWAITING:
                connection.deadline = _ANY_MOMENT
            case Halt.TURN:
                self._turns.append(connection)
            case Halt.THREAD:
                connection.state = State.WORKING
                connection.deadline = _ANY_MOMENT
                self._threads.submit(partial(self._go_on, connection))
            case None:
                self._close(connection)

    def _next(self, connection: Connection) -> None:
        """The answer is sent: on to the next request, or to the end."""
        if connection.closes or self._repeating.is_stopping:
            self._end(connection)
            return
        connection.state = State.OPEN
        connection.deadline = self._now + _KEEPALIVE
        self._next_soon(connection)

    def _next_soon(self, connection: Connection) -> None:
        if connection.state is State.OPEN and (connection.buffer or connection.readable):
            self._turns.append(connection)

    def _end(self, connection: Connection) -> None:
        """Close so that the client sees the whole answer, even if it has sent more than was read."""
        if not (connection.lingers or connection.buffer or connection.readable):
            self._close(connection)
            return
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
            return
        connection.state = State.LINGERING
        connection.deadline = self._now + _LINGERS
        self._linger(connection)

    def _linger(self, connection: Connection) -> None:
        try:
            while connection.recv(_READ):
                pass
        except FULL:
            return
        except OSError:
            pass
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection.state is not State.CLOSED:
            connection.state = State.CLOSED
            del self._connections[connection.fd]
            connection.sock.close()
            del connection.wake
