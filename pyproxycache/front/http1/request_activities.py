"""The activities between a request and the end of its answer: in a thread, waiting, and sending."""

from __future__ import annotations

import select
from collections.abc import Callable
from functools import partial

from pyproxycache.front.http1.activity_context import ActivityContext
from pyproxycache.front.http1.peeking import Peeking
from pyproxycache.front.http1.relaying import Relaying
from pyproxycache.front.http1.transaction import Transaction
from pyproxycache.front.interception.pending_tunnel import PendingTunnel
from pyproxycache.front.loop.activity import CLOSED, GONE, NEVER, Activity
from pyproxycache.front.loop.answer_writer import SendStatus
from pyproxycache.front.loop.lingering import Lingering
from pyproxycache.front.loop.turns import Task
from pyproxycache.steps import Asks, Awaited

_SILENCE = 60.0


def after(transaction: Transaction, context: ActivityContext) -> Activity:
    """The activity that follows, depending on how far the transaction's answer has come."""
    connection = transaction.connection
    match transaction.status:
        case SendStatus.DONE:
            if transaction.closes or context.loop.is_stopping:
                return Lingering(connection, context.loop, is_due=transaction.lingers)
            return connection.reading
        case SendStatus.NO_ANSWER:
            return _next_step(transaction, context)
        case SendStatus.THREAD:
            return Working(transaction, context, _send_on, transaction.origin)
        case SendStatus.DISK:
            return Working(transaction, context, _send_on)
        case SendStatus.TUNNEL:
            assert transaction.tunnel is not None, "it has taken the place of what sent the head"
            return Relaying(transaction, transaction.tunnel, context)
        case SendStatus.PENDING:
            pending = None if transaction.answer is None else transaction.answer.pending
            assert pending is not None, "it waits for its client"
            return Peeking(transaction, pending, context, partial(_opening, transaction, pending, context))
        case None:
            return CLOSED
        case _:
            return Sending(transaction, context)


def _opening(
    transaction: Transaction, pending: PendingTunnel, context: ActivityContext, why: str
) -> Activity:
    """The activity in which a thread opens the tunnel, for this reason."""

    def step(transaction: Transaction) -> None:
        transaction.open_tunnel(pending, why)

    return Working(transaction, context, step, str(pending.end))


def _send_on(transaction: Transaction) -> None:
    """Go on with an answer, in a thread, which may wait for its body or for the disk."""
    transaction.advance(waits=True)


def _next_step(transaction: Transaction, context: ActivityContext) -> Activity:
    """The activity that waits for what the request's next step needs."""
    assert transaction.under_way is not None, "a thread has begun"
    awaited = transaction.under_way.awaited
    assert awaited is not None, "and something is awaited"
    if isinstance(awaited, Asks):
        instead = context.collapser.hold_up(transaction)
        if instead is not None:
            context.loop.turn_to(instead.connection, Working(instead, context, context.runner.answer))
        return Working(transaction, context, context.runner.go_on, awaited.origin)
    return Awaiting(transaction, context, awaited)


class _Answering(Activity):
    """A request is being answered: the poller only watches whether the client is still there."""

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
            self.deadline = self._patience()  # the client is there, and takes what is sent
            return self
        return self._leave()

    def break_off(self) -> Activity:
        return self._give_up()

    def _patience(self) -> float:
        """Until when a client that has closed its sending side is assumed to wait (monotonic seconds)."""
        now = self._context.loop.now
        if not self._transaction.connection.ends:
            return NEVER
        sender = self._transaction.sender
        if sender is None:
            return now + self._context.half_closed
        self._taken = sender.taken
        return now + _SILENCE

    def _leave(self) -> Activity:
        """End what is done for this client alone, as it has gone; what others wait for goes on."""
        if self._context.collapser.is_waited_for(self._transaction):
            self.deadline = self._context.loop.now  # to look again at the next tick
            return self
        return self._give_up()

    def _give_up(self) -> Activity:
        self._transaction.give_up()
        self._release()
        return CLOSED

    def _release(self) -> None:
        """Let no request wait for this one's answer any more; those that do get threads of their own."""
        context = self._context
        for other in context.collapser.release(self._transaction).waiting:
            context.loop.turn_to(other.connection, Working(other, context, context.runner.answer))
        self._transaction.head = None


class Working(_Answering):
    """A thread runs a step of the request, or will when one is free.

    `origin` is the origin that the step may wait for: then it has its turn there first. "" for none.
    """

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
        task = Task(self._run, transaction.connection.limited_client, self._origin)
        transaction.task, transaction.aside = task, partial(threads.aside, task)
        threads.submit(task)
        return self

    def _run(self) -> None:
        """Run the step and post its end to the poller; called by the thread."""
        transaction, loop = self._transaction, self._context.loop
        try:
            self._step(transaction)
        finally:
            loop.post(partial(loop.step, transaction.connection, self._returned))

    def _returned(self) -> Activity:
        """The activity that follows, now that the thread has run the step."""
        transaction = self._transaction
        transaction.task = None
        if transaction.status is not SendStatus.NO_ANSWER:
            self._release()
        following = after(transaction, self._context)
        # What sending waits for may have come meanwhile.
        return following.advance() if isinstance(following, Sending) else following

    def break_off(self) -> Activity:
        # While a thread uses the connection, its descriptor must not become another connection's.
        return super()._give_up() if self._withdrawn() else self

    def _give_up(self) -> Activity:
        if self._withdrawn():
            return super()._give_up()
        cancellation = self._transaction.cancellation
        lost = cancellation is not None and cancellation.cancel()
        self.deadline = NEVER if lost else self._context.loop.now
        return self

    def _withdrawn(self) -> bool:
        """Withdraw the step if it waits for its turn; returns whether no thread has the connection then."""
        task = self._transaction.task
        return task is None or self._context.threads.withdraw(task)


class Awaiting(_Answering):
    """Waits for what the request's next step needs, such as a flight's head; then a thread goes on."""

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
    """Waits for the answer to an equal request, which a thread makes for another connection."""

    __slots__ = ()

    def end(self) -> None:
        self._context.collapser.leave(self._transaction)

    def _leave(self) -> Activity:
        return CLOSED


class Sending(Activity):
    """Sends the answer at the client's pace, on the poller."""

    __slots__ = ("_context", "_transaction")

    def __init__(self, transaction: Transaction, context: ActivityContext) -> None:
        super().__init__()
        self._transaction = transaction
        self._context = context

    def begin(self) -> Activity:
        """Set the deadline by why the answer did not go on."""
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
        # Bytes from the client are no reason to send on.
        if event & ~select.EPOLLIN:
            # Not at once: new requests are answered before thousands of slow readers.
            self._context.loop.have_turn(self._transaction.connection)
        return self

    def advance(self) -> Activity:
        transaction = self._transaction
        transaction.advance(waits=False)
        if transaction.status in (SendStatus.FULL, SendStatus.AWAITING, SendStatus.TURN):
            return self.begin()
        return after(transaction, self._context)

    def expire(self) -> Activity:
        transaction = self._transaction
        if transaction.status is SendStatus.FULL and transaction.sender is not None:
            # The system reports room only once there is much; a slow reader may have made a little.
            sender, taken = transaction.sender, transaction.sender.taken
            following = self.advance()
            if following is not self or sender.taken > taken:
                return following
        return self._give_up()

    def break_off(self) -> Activity:
        return self._give_up()

    def _give_up(self) -> Activity:
        self._transaction.give_up()
        return CLOSED
