"""The activities from a request to its answer: in a thread, waiting without one, and sending."""

from __future__ import annotations

import select
from collections.abc import Callable
from functools import partial

from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.relaying import Relaying
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.loop.activity import CLOSED, GONE, NEVER, Activity
from pyproxycache.front.loop.answer_writer import SendStatus
from pyproxycache.front.loop.lingering import Lingering
from pyproxycache.front.loop.turns import Task
from pyproxycache.steps import Asks, Awaited

_SILENCE = 60.0


def after(transaction: Transaction, context: ActivityContext) -> Activity:
    """The activity that follows, by how far the transaction's answer has come."""
    connection = transaction.connection
    match transaction.status:
        case SendStatus.DONE:
            if transaction.closes or context.loop.is_stopping:
                return Lingering(connection, context.loop, is_due=transaction.lingers)
            return connection.reading
        case SendStatus.NO_ANSWER:
            return _next_step(transaction, context)
        case SendStatus.THREAD:
            return Working(transaction, context, _send_on(context), transaction.origin)
        case SendStatus.DISK:
            return Working(transaction, context, _send_on(context))
        case SendStatus.TUNNEL:
            assert transaction.tunnel is not None, "it has taken the place of what sent the head"
            return Relaying(transaction, transaction.tunnel, context)
        case None:
            return CLOSED
        case _:
            return Sending(transaction, context)


def _send_on(context: ActivityContext) -> Callable[[Transaction], None]:
    """Goes on with an answer whose body, or disk, may have to be waited for."""
    return partial(context.runner.advance, waits=True)


def _next_step(transaction: Transaction, context: ActivityContext) -> Activity:
    """The activity that waits for what the answer needs, and then has a thread go on."""
    assert transaction.under_way is not None, "a thread has begun"
    awaited = transaction.under_way.awaited
    assert awaited is not None, "and something is awaited"
    if isinstance(awaited, Asks):
        return Working(transaction, context, context.runner.go_on, awaited.origin)
    return Awaiting(transaction, context, awaited)


class _Answering(Activity):
    """The poller neither reads nor sends: it only looks whether the client is still there."""

    __slots__ = ("_context", "_taken", "_transaction")

    def __init__(self, transaction: Transaction, context: ActivityContext) -> None:
        self._transaction = transaction
        self._context = context
        self._taken = 0
        super().__init__(self._patience())

    def on_event(self, event: int) -> Activity:
        self._transaction.connection.note(event)
        if event & select.EPOLLRDHUP:
            self.deadline = self._patience()
        return self._leave() if event & GONE else self

    def expire(self) -> Activity:
        sender = self._transaction.sender
        if sender is not None and sender.taken > self._taken:
            self.deadline = self._patience()  # it is there, and takes what comes
            return self
        return self._leave()

    def break_off(self) -> Activity:
        return self._give_up()

    def _patience(self) -> float:
        """Up to when a client that sends no more and is sent nothing is thought to be there (monotonic)."""
        now = self._context.loop.now
        if not self._transaction.connection.ends:
            return NEVER
        sender = self._transaction.sender
        if sender is None:
            return now + self._context.half_closed
        self._taken = sender.taken
        return now + _SILENCE

    def _leave(self) -> Activity:
        """The client has gone: end what is done for it alone."""
        if self._context.collapser.is_waited_for(self._transaction):
            self.deadline = self._context.loop.now  # to be seen again
            return self
        return self._give_up()

    def _give_up(self) -> Activity:
        self._context.runner.give_up(self._transaction)
        self._release()
        return CLOSED

    def _release(self) -> None:
        """Nobody waits for what this connection is answered any more."""
        context = self._context
        for other in context.collapser.release(self._transaction).waiting:
            context.loop.turn_to(other.connection, Working(other, context, context.runner.answer))
        self._transaction.head = None


class Working(_Answering):
    """A thread takes a step of the request, or will when there is one; `origin`: when its turn has come."""

    __slots__ = ("_origin", "_step")

    def __init__(
        self,
        transaction: Transaction,
        context: ActivityContext,
        step: Callable[[Transaction], None],
        origin: str = "",
    ) -> None:
        super().__init__(transaction, context)
        self._step = step
        self._origin = origin

    def begin(self) -> Activity:
        transaction, threads = self._transaction, self._context.threads
        task = Task(self._run, transaction.connection.who, self._origin)
        transaction.task, transaction.aside = task, partial(threads.aside, task)
        threads.submit(task)
        return self

    def _run(self) -> None:
        """In a thread."""
        transaction, loop = self._transaction, self._context.loop
        try:
            self._step(transaction)
        finally:
            loop.post(partial(loop.step, transaction.connection, self._returned))

    def _returned(self) -> Activity:
        """The thread is done with the connection, for now."""
        transaction = self._transaction
        transaction.task = None
        if transaction.status is not SendStatus.NO_ANSWER:
            self._release()
        following = after(transaction, self._context)
        # What sending waited for may have come meanwhile.
        return following.advance() if isinstance(following, Sending) else following

    def break_off(self) -> Activity:
        # It stays the thread's: closed now, its number would be another connection's.
        return self if self._is_in_thread() else super()._give_up()

    def _give_up(self) -> Activity:
        if not self._is_in_thread():
            return super()._give_up()
        cancellation = self._transaction.cancellation
        lost = cancellation is not None and cancellation.cancel()
        self.deadline = NEVER if lost else self._context.loop.now
        return self

    def _is_in_thread(self) -> bool:
        """Whether a thread has the connection; one that was to have it in its turn does not get it."""
        task = self._transaction.task
        return task is not None and not self._context.threads.withdraw(task)


class Awaiting(_Answering):
    """What the answer needs is on its way to another one; a thread goes on when it is there."""

    __slots__ = ("_awaited",)

    def __init__(self, transaction: Transaction, context: ActivityContext, awaited: Awaited) -> None:
        super().__init__(transaction, context)
        self._awaited = awaited

    def begin(self) -> Activity:
        return self if self._awaited.when_there(self._transaction.connection.wake) else self.woken()

    def advance(self) -> Activity:
        return self

    def woken(self) -> Activity:
        return Working(self._transaction, self._context, self._context.runner.go_on)


class Parked(_Answering):
    """Another connection's thread is answering the same request."""

    __slots__ = ()

    def end(self) -> None:
        self._context.collapser.leave(self._transaction)

    def _leave(self) -> Activity:
        return CLOSED


class Sending(Activity):
    """The poller sends the answer; the client may take its time."""

    __slots__ = ("_context", "_transaction")

    def __init__(self, transaction: Transaction, context: ActivityContext) -> None:
        super().__init__()
        self._transaction = transaction
        self._context = context

    def begin(self) -> Activity:
        """Something was sent already, as far as it went."""
        loop = self._context.loop
        match self._transaction.status:
            case SendStatus.FULL:
                self.deadline = loop.now + _SILENCE
            case SendStatus.AWAITING:
                self.deadline = NEVER
            case SendStatus.TURN:
                self.deadline = loop.now + _SILENCE
                loop.have_turn(self._transaction.connection)
        return self

    def on_event(self, event: int) -> Activity:
        self._transaction.connection.note(event)
        if event & GONE and self._transaction.status is SendStatus.AWAITING:
            return self._give_up()
        # What comes from a client is no reason to send on, but where TLS waits for it.
        if event & (self._transaction.connection.stream.send_waits_for | ~select.EPOLLIN):
            # Not at once: what is asked in this moment is answered before thousands of slow readers.
            self._context.loop.have_turn(self._transaction.connection)
        return self

    def advance(self) -> Activity:
        transaction = self._transaction
        self._context.runner.advance(transaction, waits=False)
        if transaction.status in (SendStatus.FULL, SendStatus.AWAITING, SendStatus.TURN):
            return self.begin()
        return after(transaction, self._context)

    def expire(self) -> Activity:
        transaction = self._transaction
        if transaction.status is SendStatus.FULL and transaction.sender is not None:
            # The system tells of room only once there is much; a slow reader may have made a little.
            sender, taken = transaction.sender, transaction.sender.taken
            following = self.advance()
            if following is not self or sender.taken > taken:
                return following
        return self._give_up()

    def break_off(self) -> Activity:
        return self._give_up()

    def _give_up(self) -> Activity:
        self._context.runner.give_up(self._transaction)
        return CLOSED
