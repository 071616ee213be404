"""What is done with clients' connections: heads in, answers out, from memory or by a thread."""

from __future__ import annotations

import logging
import re
import select
import socket
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial

from pyproxycache.front.app import App
from pyproxycache.front.http1.connection import ClientConnection, State
from pyproxycache.front.http1.memory_responder import MemoryResponder
from pyproxycache.front.http1.request_collapser import RequestCollapser
from pyproxycache.front.http1.request_runner import Learn, MayAsk, RequestRunner
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.loop.sending import FULL, SendStatus
from pyproxycache.front.loop.turns import Task
from pyproxycache.front.memory.memory import Memory
from pyproxycache.front.memory.repeats import Repeat
from pyproxycache.gates.access import is_local
from pyproxycache.steps import Asks

log = logging.getLogger("pyproxycache")

_READ = 16 << 10
_LONGEST_HEAD = 64 << 10
_KEEPALIVE = 75.0
_SILENCE = 60.0
_LINGERS = 2.0
_CLOSED_AT_ONCE = 8  # one in so many of those that are idle
_LINGERING_READS = 16
_ANY_MOMENT = float("inf")
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# An empty line before it is passed over (RFC 9112 section 2.2).
_REQUEST_LINE = re.compile(rb"(?:\r\n)?[!-~]+ [!-~]+ HTTP/1\.[0-9]\r")
_WITH_THREADS = (State.WORKING, State.AWAITING, State.QUEUED, State.PARKED)
_GONE = select.EPOLLHUP | select.EPOLLERR

Post = Callable[[Callable[[], None]], None]
"""Has something done by the poller's thread, soon; any thread may call it."""

Watch = Callable[[int], None]
"""Has the poller tell of what happens on a descriptor, until that is closed; raises OSError."""


class ClientLoop:
    """The connections of a worker's clients; all its fields belong to the poller's thread.

    `connections` are those that are open, by descriptor, `turns` those that go on without any event. `now`
    (monotonic) is set by the poller.
    """

    def __init__(
        self,
        app: App,
        threads: AdaptivePool,
        runner: Callable[[Learn, MayAsk], RequestRunner],
        post: Post,
        watch: Watch,
        now: float,
    ) -> None:
        self.connections: dict[int, ClientConnection] = {}
        self.turns: deque[ClientConnection] = deque()
        self.now = now
        self._app = app
        self.threads = threads
        self._post = post
        self._watch = watch
        self._runner = runner(self._learn, self._may_ask)
        access_log = app.reporter.log
        line = None if access_log is None else access_log.rest
        by_agent = access_log is not None and access_log.by_agent
        self._memory = Memory(app.memory_size, line, by_agent=by_agent)
        self._heads = self._memory.heads
        self._collapser = RequestCollapser()
        self.memory_responder = MemoryResponder(app, self._memory, self._runner)

    # The poller.

    def open(self, sock: socket.socket, address: object) -> ClientConnection:
        """A new client's connection."""
        connection = ClientConnection(sock, address, self.now + _KEEPALIVE)
        connection.is_admitted = self._app.admits(connection.client)
        connection.is_local = is_local(connection.client)
        connection.wake = partial(self._post, partial(self._safely, self._woken, connection))
        self.connections[connection.fd] = connection
        return connection

    def on_event(self, connection: ClientConnection, event: int) -> None:
        """Something happened on a connection."""
        try:
            self._on_event(connection, event)
        except Exception:
            self._fail(connection)

    def _on_event(self, connection: ClientConnection, event: int) -> None:
        state = connection.state
        if event & select.EPOLLRDHUP:
            connection.ends = True  # no further event will tell of it
            if state in _WITH_THREADS:
                connection.deadline = self._patience(connection)
        if state is State.OPEN:
            self.read(connection)
            return
        # Each useless read would be a moment for threads to take the interpreter away.
        if event & ~select.EPOLLOUT:
            connection.readable = True
        if state is State.SENDING:
            if event & _GONE and connection.send_status is SendStatus.AWAITING:
                self._runner.give_up(connection)
                self.close(connection)
            elif event & ~select.EPOLLIN:
                self._advance(connection)
        elif state is State.RELAYING:
            self._relay(connection)
        elif state in _WITH_THREADS:
            if event & _GONE:
                self._leave(connection)
        elif state is State.LINGERING:
            self._linger(connection)

    def take_turns(self) -> None:
        """Go on with those who had their turn before, or have more to be read."""
        for _ in range(len(self.turns)):
            connection = self.turns.popleft()
            connection.has_turn = False
            self._safely(self._take_turn, connection)

    def _take_turn(self, connection: ClientConnection) -> None:
        if connection.state is State.SENDING:
            self._advance(connection)
        elif connection.state is State.OPEN:
            self._parse(connection)
            if connection.state is State.OPEN and connection.readable:
                self.read(connection)
        elif connection.state is State.RELAYING:
            self._relay(connection)
        elif connection.state is State.LINGERING:
            self._linger(connection)

    def _have_turn(self, connection: ClientConnection) -> None:
        if not connection.has_turn:
            connection.has_turn = True
            self.turns.append(connection)

    def _safely(self, step: Callable[[ClientConnection], None], connection: ClientConnection) -> None:
        """What fails with one connection costs no other one anything."""
        try:
            step(connection)
        except Exception:
            self._fail(connection)

    def _fail(self, connection: ClientConnection) -> None:
        log.exception("the connection of %s failed inside the cache", connection.client)
        if self._is_in_thread(connection):
            return  # it stays the thread's: closed now, its number would be another connection's
        with suppress(Exception):  # what failed may do so again
            self._runner.give_up(connection)
        self.close(connection)

    def tick(self) -> None:
        """About once a second: let go of what has taken too long, or is outdated."""
        for connection in list(self.connections.values()):
            if connection.deadline < self.now:
                self._safely(self._expire, connection)
        self._memory.sweep(self._app.versions)
        self._collapser.sweep(self.now)
        self.threads.settle()

    def close_idle(self) -> bool:
        """Close those that have been idle for longest, for their descriptors; whether there were any."""
        idle = [one for one in self.connections.values() if one.state is State.OPEN and not one.buffer]
        idle.sort(key=lambda one: one.deadline)
        for connection in idle[: max(1, len(idle) // _CLOSED_AT_ONCE)]:
            self.close(connection)
        return bool(idle)

    def stop(self) -> None:
        """Finish what is asked for by now, or in a moment."""
        self.memory_responder.is_stopping = True
        for connection in list(self.connections.values()):
            if connection.state is State.OPEN:
                connection.deadline = min(connection.deadline, self.now + _LINGERS)
            elif connection.state is State.RELAYING:
                self._relay(connection)

    def _expire(self, connection: ClientConnection) -> None:
        if (
            connection.send_status is SendStatus.FULL
            and connection.state is State.SENDING
            and connection.sending
        ):
            # The system tells of room only once there is much; a slow reader may have made a little.
            sending, taken = connection.sending, connection.sending.taken
            self._advance(connection)
            if connection.state is not State.SENDING or sending.taken > taken:
                return
        if connection.state is State.SENDING:
            self._runner.give_up(connection)
        if connection.state in _WITH_THREADS:
            if connection.sending is not None and connection.sending.taken > connection.taken:
                connection.deadline = self._patience(connection)  # it is there, and takes what comes
            else:
                self._leave(connection)
        if connection.state is State.RELAYING:
            self._runner.finish(connection)
            self.close(connection)
        if connection.state in (State.OPEN, State.SENDING, State.LINGERING):
            self.close(connection)

    # Other threads.

    def _learn(self, connection: ClientConnection, repeat: Repeat | None, is_shared: bool) -> None:
        assert connection.head is not None, "without a head there is nothing to learn"
        self._post(partial(self._answered, connection, connection.head, repeat, is_shared))

    def _may_ask(self, connection: ClientConnection, origin: str) -> bool:
        assert connection.task is not None, "it is what runs"
        return self.threads.enter(connection.task, origin)

    def _work(self, connection: ClientConnection) -> None:
        """In a thread: answer a request."""
        try:
            self._runner.answer(connection)
        finally:
            self._post(partial(self._safely, self._returned, connection))

    def _step(self, connection: ClientConnection) -> None:
        """In a thread: answer a request, now that there is what it waited for."""
        try:
            self._runner.go_on(connection)
        finally:
            self._post(partial(self._safely, self._returned, connection))

    def _go_on(self, connection: ClientConnection) -> None:
        """In a thread: go on with an answer whose body may have to be waited for."""
        try:
            self._runner.advance(connection, waits=True)
        finally:
            self._post(partial(self._safely, self._returned, connection))

    # One connection.

    def read(self, connection: ClientConnection) -> None:
        """Read what is there, of much a turn's worth, and answer what of it is there whole."""
        try:
            data = connection.recv(_READ)
        except FULL:
            connection.readable = False
            return
        except OSError:
            data = b""
        if not data:
            self.close(connection)
            return
        connection.readable = connection.ends or len(data) == _READ
        known = None if connection.buffer or connection.unread else self._heads.get(data)
        if known is not None and self.memory_responder.repeat(connection, data, known):
            self._after_repeat(connection)
        else:
            if not (connection.buffer or connection.unread):
                connection.deadline = self.now + _SILENCE  # for a head as a whole, from its first byte
            connection.buffer += data
            self._parse(connection)
        if connection.readable and connection.state is State.OPEN:
            self._have_turn(connection)  # who sends without end is not all there is to do

    def _parse(self, connection: ClientConnection) -> None:
        """Answer the requests whose heads are in the buffer, one after the other."""
        while connection.state is State.OPEN and (buffer := connection.buffer):
            if connection.unread:
                count = min(connection.unread, len(buffer))
                connection.buffer, connection.unread = buffer[count:], connection.unread - count
                continue
            found = _END_OF_HEAD.search(buffer)
            if found is None:
                connection.deadline = min(connection.deadline, self.now + _SILENCE)
                line_end = buffer.find(b"\n", 2)
                strange = line_end >= 0 and not _REQUEST_LINE.fullmatch(buffer[:line_end])
                if strange or len(buffer) > _LONGEST_HEAD:
                    self._submit(connection, None)  # to the parser, which knows what to say
                return
            head = buffer[: found.end()]
            known = self._heads.get(head) or self._memory.find(head)
            if known is None or not self.memory_responder.repeat(connection, head, known):
                self._submit(connection, head)
                return
            connection.buffer = buffer[found.end() :]
            self._after_repeat(connection)

    def _after_repeat(self, connection: ClientConnection) -> None:
        """From memory: it was sent whole, or as far as the client took it, or the client has gone."""
        if connection.send_status is SendStatus.DONE:
            if connection.closes:
                self._end(connection)
            else:
                connection.deadline = self.now + _KEEPALIVE
        else:
            connection.state = State.SENDING
            self._went_on(connection)

    def _submit(self, connection: ClientConnection, head: bytes | None) -> None:
        """Have a thread answer, unless one is about to answer the same."""
        if connection.login.is_used:
            head = None  # nobody else's answer is for it, nor its own for others
        connection.head = head
        if head is not None and self._collapser.park(connection, head, self.now):
            connection.state = State.PARKED
            connection.deadline = self._patience(connection)
        else:
            self._start(connection)

    def _start(self, connection: ClientConnection) -> None:
        connection.state = State.WORKING
        connection.closes = connection.lingers = False
        connection.send_status = None
        connection.origin = ""
        connection.interest = None
        self._run(connection, self._work)

    def _run(
        self, connection: ClientConnection, step: Callable[[ClientConnection], None], origin: str = ""
    ) -> None:
        """Have a thread take this step, if it may wait for an origin in its turn."""
        connection.deadline = self._patience(connection)
        task = connection.task = Task(partial(step, connection), connection.who, origin)
        connection.aside = partial(self.threads.aside, task)
        self.threads.submit(task)

    def _answered(
        self, connection: ClientConnection, head: bytes, repeat: Repeat | None, is_shared: bool
    ) -> None:
        """A thread has the answer: keep it, and give it to those who wait for the same."""
        if repeat is not None:
            self._memory.learn(head, repeat)
        elif not is_shared:
            self._collapser.avoid(head, self.now)
        known = self._heads.get(head)
        wait = self._collapser.release(connection, head)
        left = []
        for other in wait.waiting:
            other.state = State.OPEN
            try:
                if known is None or not self.memory_responder.repeat(other, head, known, waited=True):
                    left.append(other)
                    continue
                other.buffer = other.buffer[len(head) :]
                self._after_repeat(other)
                self._next_soon(other)
            except Exception:
                self._fail(other)
        if left and is_shared and not wait.is_second:
            # What was stored for the first is there for the second, and in memory for the others.
            for other in left:
                other.state = State.PARKED
            left = [self._collapser.wait_again(head, left)]
        for other in left:
            self._start(other)

    def _returned(self, connection: ClientConnection) -> None:
        """A thread is done with the connection, for now."""
        connection.task = None
        if connection.send_status is SendStatus.NO_ANSWER:
            self._await(connection)
            return
        self._release(connection)
        connection.state = State.SENDING
        if connection.send_status in (None, SendStatus.DONE, SendStatus.TUNNEL):
            self._went_on(connection)
        else:
            self._advance(connection)  # what it waited for may have come meanwhile

    def _release(self, connection: ClientConnection) -> None:
        """Nobody waits for what this connection is answered any more."""
        if connection.head is not None:
            for other in self._collapser.release(connection, connection.head).waiting:
                self._start(other)
            connection.head = None

    def _await(self, connection: ClientConnection) -> None:
        """Have a thread go on once there is what the answer needs."""
        under_way = connection.under_way
        assert under_way is not None, "a thread has begun"
        awaited = under_way.awaited
        assert awaited is not None, "and something is awaited"
        if isinstance(awaited, Asks):
            connection.state = State.QUEUED
            self._run(connection, self._step, awaited.origin)
            return
        connection.state = State.AWAITING
        connection.deadline = self._patience(connection)
        if not awaited.when_there(connection.wake):
            self._resume(connection)

    def _resume(self, connection: ClientConnection) -> None:
        connection.state = State.WORKING
        self._run(connection, self._step)

    def _patience(self, connection: ClientConnection) -> float:
        """Up to when a client that sends no more and is sent nothing is thought to be there (monotonic)."""
        if not connection.ends:
            return _ANY_MOMENT
        if connection.sending is None:
            return self.now + self._app.half_closed
        connection.taken = connection.sending.taken
        return self.now + _SILENCE

    def _leave(self, connection: ClientConnection) -> None:
        """The client has gone while its answer is made: end what is done for it alone."""
        if connection.state is State.PARKED:
            self.close(connection)
            return
        if connection.head is not None and self._collapser.is_waited_for(connection, connection.head):
            connection.deadline = self.now  # to be seen again
            return
        if self._is_in_thread(connection):
            lost = connection.interest is not None and connection.interest.lose()
            connection.deadline = _ANY_MOMENT if lost else self.now
            return
        self._runner.give_up(connection)
        self._release(connection)
        self.close(connection)

    def _is_in_thread(self, connection: ClientConnection) -> bool:
        """Whether a thread has the connection; one that was to have it in its turn does not get it."""
        return connection.task is not None and not self.threads.withdraw(connection.task)

    def _woken(self, connection: ClientConnection) -> None:
        if connection.state is State.SENDING:
            self._advance(connection)
        elif connection.state is State.AWAITING:
            self._resume(connection)

    def _advance(self, connection: ClientConnection) -> None:
        self._runner.advance(connection, waits=False)
        self._went_on(connection)

    def _went_on(self, connection: ClientConnection) -> None:
        match connection.send_status:
            case SendStatus.DONE:
                self._next(connection)
            case SendStatus.FULL:
                connection.deadline = self.now + _SILENCE
            case SendStatus.AWAITING:
                connection.deadline = _ANY_MOMENT
            case SendStatus.TURN:
                connection.deadline = self.now + _SILENCE
                self._have_turn(connection)
            case SendStatus.THREAD:
                connection.state = State.QUEUED
                self._run(connection, self._go_on, connection.origin)
            case SendStatus.DISK:
                connection.state = State.WORKING
                self._run(connection, self._go_on)
            case SendStatus.TUNNEL:
                self._begin_relaying(connection)
            case None:
                self.close(connection)

    def _begin_relaying(self, connection: ClientConnection) -> None:
        tunnel = connection.sending
        assert isinstance(tunnel, Tunnel), "it has taken the place of what sent the head"
        connection.state = State.RELAYING
        connection.far = tunnel.far.fileno()
        self.connections[connection.far] = connection
        self._watch(connection.far)
        self._relay(connection)

    def _relay(self, connection: ClientConnection) -> None:
        """Pass on what came from either end."""
        tunnel = connection.sending
        assert isinstance(tunnel, Tunnel), "the connection is its"
        self._runner.advance(connection, waits=False)
        if connection.send_status in (None, SendStatus.DONE):
            self.close(connection)
            return
        connection.deadline = self.now + tunnel.patience(stops=self.memory_responder.is_stopping)
        if connection.send_status is SendStatus.TURN:
            self._have_turn(connection)

    def _next(self, connection: ClientConnection) -> None:
        """The answer is sent: on to the next request, or to the end."""
        if connection.closes or self.memory_responder.is_stopping:
            self._end(connection)
            return
        connection.state = State.OPEN
        connection.deadline = self.now + _KEEPALIVE
        self._next_soon(connection)

    def _next_soon(self, connection: ClientConnection) -> None:
        if connection.state is State.OPEN and (connection.buffer or connection.readable):
            self._have_turn(connection)

    def _end(self, connection: ClientConnection) -> None:
        """Close so that the client sees the whole answer, even if it has sent more than was read."""
        if not (connection.lingers or connection.buffer or connection.readable):
            self.close(connection)
            return
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close(connection)
            return
        connection.state = State.LINGERING
        connection.deadline = self.now + _LINGERS
        self._linger(connection)

    def _linger(self, connection: ClientConnection) -> None:
        try:
            for _ in range(_LINGERING_READS):
                if not connection.recv(_READ):
                    break
            else:
                self._have_turn(connection)
                return
        except FULL:
            return
        except OSError:
            pass
        self.close(connection)

    def close(self, connection: ClientConnection) -> None:
        """Be done with the connection."""
        if connection.state is not State.CLOSED:
            connection.state = State.CLOSED
            del self.connections[connection.fd]
            self.connections.pop(connection.far, None)
            connection.sock.close()
            connection.login.close()
            del connection.wake
            connection.task, connection.aside = None, nullcontext
