"""The HTTP/1.1 sessions of a worker, one on each connection; all share one memory of answers."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.first_step import FirstStep
from pyproxycache.front.http1.memory_responder import MemoryResponder
from pyproxycache.front.http1.reading import Reading
from pyproxycache.front.http1.request_activities import Working
from pyproxycache.front.http1.request_collapser import RequestCollapser
from pyproxycache.front.http1.request_runner import Learn, MayAsk, RequestRunner
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.loop.activity import CLOSED, Activity
from pyproxycache.front.loop.adaptive_pool import PATIENCE, AdaptivePool
from pyproxycache.front.loop.client_loop import ClientLoop
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.handshaking import Handshaking, tell_of_failure
from pyproxycache.front.loop.recognising import Recognising
from pyproxycache.front.memory.memory import Memory
from pyproxycache.front.memory.reusable_answers import ReusableAnswer
from pyproxycache.front.requests.ingress import SECURED, redirected_from
from pyproxycache.front.requests.refusals import begins_request
from pyproxycache.gates.access import is_local
from pyproxycache.gates.authentication import Authentication
from pyproxycache.gates.own_clients import client_address, is_this_proxy
from pyproxycache.net.handshake import ServerHandshake
from pyproxycache.net.original_destination import original_destination
from pyproxycache.net.stream import PlainStream, Stream
from pyproxycache.report.reporter import Reporter
from pyproxycache.url import Authority

log = logging.getLogger("pyproxycache")

_EXEMPT = "the firewall has to exempt the proxy's user, who has to be one of its own"

Begin = Callable[[ClientConnection], Activity]
"""Begins a session on a connection after its handshake; returns the connection's activity."""


@dataclass(frozen=True, slots=True)
class SessionParts:
    """The parts that all HTTP/1.1 sessions of a worker share.

    `admits` tells whether a client (its IP address) may ask. `memory` is how many bytes of answers are kept
    in memory; each may be given while its key's version in `versions` stays the same. `half_closed` is for
    how many seconds a client that has closed its sending side is assumed to wait for an answer, and
    `report_after` for how many seconds answers from memory gather before they are reported together.
    `authentication` decides whose requests are answered, None if nobody has to log in.
    """

    admits: Callable[[str], bool]
    reuse: AnswerReuse
    reporter: Reporter
    versions: memoryview
    memory: int = 0
    half_closed: float = 2.0
    report_after: float = 0.05
    authentication: Authentication | None = None


class Http1Sessions:
    """The HTTP/1.1 sessions of one worker's clients; belongs to the poller's thread.

    `first_step` is that of requests, also of those that come by further protocols.
    """

    def __init__(
        self,
        parts: SessionParts,
        threads: AdaptivePool,
        runner: Callable[[Learn, MayAsk], RequestRunner],
        loop: ClientLoop,
    ) -> None:
        self._loop = loop
        self._admits = parts.admits
        self._versions = parts.versions
        self._threads = threads
        self._collapser = RequestCollapser()
        self._context = ActivityContext(
            loop,
            threads,
            runner(self._learn, self._may_ask),
            self._collapser,
            self._begin,
            parts.half_closed,
        )
        self._memory = Memory(parts.memory, parts.reporter.lines)
        self._responder = MemoryResponder(
            parts.reuse,
            parts.reporter,
            parts.versions,
            self._memory,
            self._context,
            parts.report_after,
            parts.authentication,
        )
        self.first_step = FirstStep(
            self._context, self._memory, self._responder, is_open=parts.authentication is None
        )
        self._further: dict[str, Begin] = {}

    def speak(self, protocol: str, begin: Begin) -> None:
        """Have sessions begin so where client and server have agreed on this protocol (ALPN)."""
        self._further[protocol] = begin

    def open(self, stream: Stream, address: object) -> ClientConnection:
        """Begin a session on a new client's connection: its requests are read from now on."""
        connection = ClientConnection(stream, address)
        connection.is_admitted = self._admits(connection.client)
        connection.is_local = is_local(connection.client)
        connection.reading = Reading(connection, self._loop, self.first_step)
        self._loop.add(connection)
        return connection

    def open_secured(self, handshake: ServerHandshake, address: object) -> ClientConnection:
        """Begin a new client's connection with its handshake, and then a session on it."""
        connection = self.open(handshake.stream, address)

        def begin() -> Activity:
            connection.ingress, connection.server_name = SECURED, handshake.server_name
            return self._begin(connection, handshake.protocol)

        def refuse() -> Activity:
            return Working(Transaction(connection), self._context, self._context.runner.refuse_plain)

        failed = partial(tell_of_failure, connection.client)
        handshaking = Handshaking(connection, handshake, self._loop, begin, refuse, failed)
        self._loop.turn_to(connection, handshaking)
        return connection

    def _begin(self, connection: ClientConnection, protocol: str | None) -> Activity:
        """The first activity of a session in this protocol, on a connection whose handshake is over."""
        further = self._further.get(protocol or "")
        return connection.reading if further is None else further(connection)

    def open_redirected(self, sock: socket.socket, address: object, scheme: str) -> ClientConnection | None:
        """Begin a session on a connection to an origin, which a firewall has redirected.

        `scheme` is the origin's. None if the connection is closed already.
        """
        try:
            destination = original_destination(sock)
            address = client_address(sock, address)
        except OSError:
            sock.close()
            return None
        connection = self.open(PlainStream(sock), address)
        connection.ingress = redirected_from(destination)
        pass_on = partial(self._passed_on, connection, sock, destination)
        if scheme == "https":
            self._loop.turn_to(connection, pass_on())
        else:
            recognising = Recognising(connection, self._loop, begins_request, pass_on)
            self._loop.turn_to(connection, recognising)
        return connection if connection.is_open else None

    def _passed_on(
        self, connection: ClientConnection, sock: socket.socket, destination: Authority
    ) -> Activity:
        """The activity that opens a tunnel for a redirected connection to where that was made."""
        if is_this_proxy(sock):  # tunnels have no Via by which their loops are seen
            log.warning("a connection of this proxy to %s is redirected to it: %s", destination, _EXEMPT)
            return CLOSED
        connection.ingress = redirected_from(destination, "")
        context = self._context
        return Working(Transaction(connection), context, context.runner.pass_on)

    def settle(self, now: float) -> float:
        """Report due answers from memory, and let more requests run if those that run only wait.

        Returns when it is to be called again at the latest (monotonic seconds, like `now`).
        """
        responder, due = self._responder, now + PATIENCE
        if now >= responder.report_at:
            responder.report()
        if not self._threads.is_behind:
            return responder.report_at
        self._threads.relieve(now)
        return min(due, responder.report_at)

    def tick(self) -> None:
        """Drop outdated answers, and let fewer threads run if fewer will do; called about once a second."""
        self._memory.sweep(self._versions)
        self._collapser.sweep(self._loop.now)
        self._threads.settle()

    def write_lines(self) -> None:
        """Give the access log the lines of answers from memory that it does not have yet."""
        self._responder.write_lines()

    def finish(self) -> None:
        """Report the answers from memory that are not reported yet, as the worker stops."""
        self._responder.report()

    def _may_ask(self, transaction: Transaction, origin: str) -> bool:
        """Whether the transaction may wait for the origin now; called by the thread that runs it."""
        return transaction.task is not None and self._threads.enter(transaction.task, origin)

    def _learn(self, transaction: Transaction, reusable: ReusableAnswer | None, is_shared: bool) -> None:
        """Have the poller learn a transaction's answer; called by the thread that has made it."""
        assert transaction.head is not None, "without a head there is nothing to learn"
        self._loop.post(partial(self._answered, transaction, transaction.head, reusable, is_shared))

    def _answered(
        self, transaction: Transaction, head: bytes, reusable: ReusableAnswer | None, is_shared: bool
    ) -> None:
        """Keep the answer in memory, and answer the requests that are parked for it."""
        if reusable is not None:
            self._memory.learn(head, reusable, transaction.connection.ingress)
        elif not is_shared:
            self._collapser.avoid(transaction, self._loop.now)
        wait = self._collapser.release(transaction)
        left = [other for other in wait.waiting if not self._is_answered_from_memory(other, head)]
        if left and is_shared and not wait.is_second:
            # The store answers the first of them, and memory the others with that answer.
            left = [self._collapser.wait_again(left)]
        for other in left:
            working = Working(other, self._context, self._context.runner.answer)
            self._loop.turn_to(other.connection, working)

    def _is_answered_from_memory(self, transaction: Transaction, head: bytes) -> bool:
        """Answer the parked request from memory; returns whether memory has an answer for it."""
        known, connection = self._memory.heads.get(head), transaction.connection
        if known is None:
            return False
        following = self._responder.respond(connection, known, waited=True)
        if following is None:
            return False
        connection.buffer = connection.buffer[len(head) :]
        self._loop.turn_to(connection, following)
        return True
