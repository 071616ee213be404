"""One connection to a broker, in steps of one thread: published messages, and their confirmations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import pika
from pika.adapters.select_connection import IOLoop
from pika.exceptions import AMQPError
from pika.spec import Basic

from pyproxycache import clock
from pyproxycache.errors import reason
from pyproxycache.report.events.carrier import IsOver, Undelivered, Unreached

log = logging.getLogger("pyproxycache")
# What goes wrong is told by who sends, once, and without a traceback.
logging.getLogger("pika").setLevel(logging.CRITICAL + 1)

_LOOK_SECONDS = 0.1
_OPEN_SECONDS = 10.0
_CLOSE_SECONDS = 1.0
_CONFIRM_SECONDS = 30.0
_NO_TIME = "there is no time left"
_PRECONDITION_FAILED = 406


class Message(NamedTuple):
    """A message to publish; `properties` are those of AMQP."""

    routing_key: str
    body: bytes
    properties: Any


class BrokerConnection:
    """A connection with one channel, on which the broker confirms each message; used by one thread.

    `problem` says why it cannot be used any more, `refuses_message` whether a message is at fault.
    `returned` counts messages that no queue took. While the broker blocks the connection, for want of
    memory or disk, nothing is sent.
    """

    def __init__(self, parameters: Any) -> None:
        self.problem = ""
        self.refuses_message = False
        self.returned = 0
        self._loop = IOLoop()
        self._loop.activate_poller()
        self._channel: Any = None
        self._is_ready = self._is_blocked = self._has_ended = False
        self._published = 0
        self._confirmed_at = 0.0
        # Of the messages being published: the tag of the first, and whether each was taken; None: unknown.
        self._first = 1
        self._taken: list[bool | None] = []
        self._left = 0
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._ended,
            on_close_callback=self._ended,
            custom_ioloop=self._loop,
        )

    def open(self, is_over: IsOver) -> None:
        """Wait until messages can be published; raises Unreached."""
        deadline = clock.steady() + _OPEN_SECONDS
        while not self._is_ready:
            self._step()
            if self.problem:
                raise Unreached(self.problem)
            if is_over():
                raise Unreached(_NO_TIME)
            if clock.steady() > deadline:
                raise Unreached("the broker does not answer")

    def publish(self, exchange: str, messages: Sequence[Message], is_over: IsOver) -> None:
        """Publish the messages, and wait until the broker has confirmed them; raises Undelivered."""
        self._wait_while_blocked(is_over)
        self._first, self._left = self._published + 1, len(messages)
        self._taken = [None] * len(messages)
        self._confirmed_at = clock.steady()
        try:
            for message in messages:
                self._channel.basic_publish(
                    exchange, message.routing_key, message.body, message.properties, mandatory=True
                )
                self._published += 1
        except AMQPError as error:
            self.problem = self.problem or _why(error)
        while self._left:
            self._check(self._delivered(), is_over)
            self._step()
            if self._is_blocked:
                self._confirmed_at = clock.steady()
            elif clock.steady() - self._confirmed_at > _CONFIRM_SECONDS:
                raise Undelivered("the broker confirms nothing", self._delivered())
        if not all(self._taken):
            raise Undelivered("the broker refuses messages, as its queues are full", self._delivered())

    def work(self, seconds: float) -> None:
        """Do for so long what keeps the connection: heartbeats."""
        deadline = clock.steady() + seconds
        while not self.problem and (left := deadline - clock.steady()) > 0:
            self._step(left)

    def close(self) -> None:
        """Close the connection; at once if the broker does not answer that soon."""
        if not self._has_ended:
            with suppress(AMQPError):  # it was being closed
                self._connection.close()
            self._await_end()
        transport = self._connection._transport
        if transport is not None:
            transport.abort()
            self._has_ended = False
            self._await_end()
        self._loop.deactivate_poller()
        self._loop.close()

    def _await_end(self) -> None:
        deadline = clock.steady() + _CLOSE_SECONDS
        while not self._has_ended and clock.steady() < deadline:
            self._step()

    def _wait_while_blocked(self, is_over: IsOver) -> None:
        self._check(0, is_over)
        while self._is_blocked:
            self._step()
            self._check(0, is_over)

    def _delivered(self) -> int:
        """How many of the first messages being published are confirmed."""
        return next((at for at, taken in enumerate(self._taken) if not taken), len(self._taken))

    def _check(self, delivered: int, is_over: IsOver) -> None:
        if self.problem:
            raise Undelivered(self.problem, delivered)
        if is_over():
            raise Undelivered(_NO_TIME, delivered)

    def _step(self, seconds: float = _LOOK_SECONDS) -> None:
        """Handle what happens on the connection; waits for it for so long at most."""
        timer = self._loop.call_later(seconds, _nothing)
        self._loop.poll()
        self._loop.process_timeouts()
        self._loop.remove_timeout(timer)

    # From here on, all is called by pika, within a step.

    def _opened(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(self._blocked)
        connection.add_on_connection_unblocked_callback(self._unblocked)
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirmed, callback=self._ready)

    def _ready(self, _frame: object) -> None:
        self._is_ready = True

    def _confirmed(self, frame: Any) -> None:
        method = frame.method
        last = method.delivery_tag - self._first
        first = 0 if method.multiple else last
        for at in range(max(0, first), last + 1):
            if self._taken[at] is None:
                self._taken[at] = isinstance(method, Basic.Ack)
                self._left -= 1
        self._confirmed_at = clock.steady()

    def _returned(self, *_message: object) -> None:
        self.returned += 1

    def _blocked(self, *_frame: object) -> None:
        self._is_blocked = True
        log.warning("events wait on the disk: the broker takes none, for want of memory or disk")

    def _unblocked(self, *_frame: object) -> None:
        self._is_blocked = False
        log.warning("the broker takes events again")

    def _channel_closed(self, _channel: object, error: Exception) -> None:
        self.problem = self.problem or _why(error)
        self.refuses_message = getattr(error, "reply_code", 0) == _PRECONDITION_FAILED

    def _ended(self, _connection: object, error: Exception | None) -> None:
        self._has_ended = True
        self.problem = self.problem or ("the connection was closed" if error is None else _why(error))


def _nothing() -> None:
    """Be called when a step has waited for long enough."""


def _why(error: BaseException) -> str:
    """What went wrong: the innermost cause, which names no password."""
    while True:
        around = (getattr(error, "exception", None), *getattr(error, "exceptions", ()), *error.args)
        inner = [one for one in around if isinstance(one, BaseException)]
        if not inner:
            return reason(error) if isinstance(error, Exception) else type(error).__name__
        error = inner[-1]
