"""Opens an HTTP/1.1 session on each connection of a worker; all share one memory of answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.memory_responder import MemoryResponder
from pyproxycache.front.http1.reading import Reading
from pyproxycache.front.http1.request_activities import Working
from pyproxycache.front.http1.request_collapser import RequestCollapser
from pyproxycache.front.http1.request_runner import Learn, MayAsk, RequestRunner
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.loop.adaptive_pool import AdaptivePool
from pyproxycache.front.loop.client_loop import ClientLoop, Post, Watch
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.memory.memory import Memory
from pyproxycache.front.memory.reusable_answers import ReusableAnswer
from pyproxycache.gates.access import is_local
from pyproxycache.net.stream import Stream
from pyproxycache.report.reporter import Reporter

_RELIEF = 0.002


@dataclass(frozen=True, slots=True)
class SessionParts:
    """The parts that all HTTP/1.1 sessions of a worker share.

    `admits` says whether a client may ask. `memory`: bytes of answers kept in memory, which are right while
    the `versions` of their keys stay the same. `half_closed`: seconds for which a client that sends no more
    is thought to wait. `report_after`: seconds for which reports of answers from memory gather.
    """

    admits: Callable[[str], bool]
    reuse: AnswerReuse
    reporter: Reporter
    versions: memoryview
    memory: int = 0
    half_closed: float = 2.0
    report_after: float = 0.05


class Http1Sessions:
    """The HTTP/1.1 sessions of one worker's clients; all its fields belong to the poller's thread."""

    def __init__(
        self,
        parts: SessionParts,
        threads: AdaptivePool,
        runner: Callable[[Learn, MayAsk], RequestRunner],
        post: Post,
        watch: Watch,
        now: float,
    ) -> None:
        self.loop = ClientLoop(post, watch, now)
        self._admits = parts.admits
        self._versions = parts.versions
        self._threads = threads
        self._collapser = RequestCollapser()
        self._context = ActivityContext(
            self.loop, threads, runner(self._learn, self._may_ask), self._collapser, parts.half_closed
        )
        self._memory = Memory(parts.memory, parts.reporter.lines)
        self._responder = MemoryResponder(
            parts.reuse, parts.reporter, parts.versions, self._memory, self._context, parts.report_after
        )

    def open(self, stream: Stream, address: object) -> ClientConnection:
        """Begin to read the requests of a new client."""
        connection = ClientConnection(stream, address)
        connection.is_admitted = self._admits(connection.client)
        connection.is_local = is_local(connection.client)
        connection.reading = Reading(connection, self._context, self._memory, self._responder)
        self.loop.add(connection)
        return connection

    def settle(self, now: float) -> float:
        """Let more requests run if those that run wait, and report what memory answered; gives when next.

        Times are monotonic seconds.
        """
        responder, due = self._responder, now + _RELIEF
        if now >= responder.report_at:
            responder.report()
        if not self._threads.is_behind:
            return responder.report_at
        self._threads.relieve(now)
        return min(due, responder.report_at)

    def tick(self) -> None:
        """Drop outdated answers and threads that are not needed; called about once a second."""
        self._memory.sweep(self._versions)
        self._collapser.sweep(self.loop.now)
        self._threads.settle()

    def write_lines(self) -> None:
        """Give the access log the lines of what memory answered."""
        self._responder.write_lines()

    def finish(self) -> None:
        """Report what memory answered, as the worker stops."""
        self._responder.report()

    def _may_ask(self, transaction: Transaction, origin: str) -> bool:
        """In a thread: whether it may wait for the origin now."""
        assert transaction.task is not None, "it is what runs"
        return self._threads.enter(transaction.task, origin)

    def _learn(self, transaction: Transaction, reusable: ReusableAnswer | None, is_shared: bool) -> None:
        """In a thread: there is an answer."""
        assert transaction.head is not None, "without a head there is nothing to learn"
        self.loop.post(partial(self._answered, transaction, transaction.head, reusable, is_shared))

    def _answered(
        self, transaction: Transaction, head: bytes, reusable: ReusableAnswer | None, is_shared: bool
    ) -> None:
        """Keep the answer, and give it to those who wait for the same."""
        if reusable is not None:
            self._memory.learn(head, reusable)
        elif not is_shared:
            self._collapser.avoid(head, self.loop.now)
        wait = self._collapser.release(transaction)
        left = [other for other in wait.waiting if not self._is_answered_from_memory(other, head)]
        if left and is_shared and not wait.is_second:
            # What was stored for the first is there for the second, and in memory for the others.
            left = [self._collapser.wait_again(head, left)]
        for other in left:
            working = Working(other, self._context, self._context.runner.answer)
            self.loop.turn_to(other.connection, working)

    def _is_answered_from_memory(self, transaction: Transaction, head: bytes) -> bool:
        """Answer the parked request from memory; returns whether memory has an answer for it."""
        known, connection = self._memory.heads.get(head), transaction.connection
        if known is None:
            return False
        following = self._responder.respond(connection, known, waited=True)
        if following is None:
            return False
        connection.buffer = connection.buffer[len(head) :]
        self.loop.turn_to(connection, following)
        return True
