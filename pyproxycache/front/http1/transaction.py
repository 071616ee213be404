"""One request of a connection and its answer, from its first step to the last byte."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from pyproxycache.cancellation import Cancellation
from pyproxycache.errors import ClientGone, ProxyError
from pyproxycache.front.answers.answer import Answer
from pyproxycache.front.http1.blocking_stream import Aside, BlockingStream
from pyproxycache.front.interception.pending_tunnel import PendingTunnel
from pyproxycache.front.loop.answer_writer import AnswerWriter, SendStatus
from pyproxycache.front.loop.connection import ClientConnection
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.loop.turns import Task
from pyproxycache.front.requests.interim import InterimHeads
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.request_body import RequestBody
from pyproxycache.http1.answer_heads import Framing
from pyproxycache.report.repetition_filter import LIMITED
from pyproxycache.serving.responses import Failure
from pyproxycache.steps import Asks, Awaited, Steps

log = logging.getLogger("pyproxycache")


class Sent(Protocol):
    """Bytes of an answer that were sent: `head_bytes` of its head, `sent` of its body, `taken` in all."""

    @property
    def head_bytes(self) -> int: ...

    @property
    def sent(self) -> int: ...

    @property
    def taken(self) -> int: ...


class Transaction:
    """One request of a connection and its answer; used by the thread that has the connection.

    `head` has the request head's bytes, None if it is not whole or equal heads may not share an answer.
    `under_way` is set while the request has no answer yet; `cancellation` breaks off what is done for it
    when the client leaves. `task` is what a thread runs of it, `origin` the one asked, and `aside` makes
    the context in which that thread waits for the client. `writer` sends the `answer`; once its head is
    sent, a `tunnel` may have the connection. `status` tells how far the answer has come, None that it was
    broken off. The connection `closes` with the answer, and `lingers` if the client may still be sending.
    It `is_mute` if the client does not know of the cache, and takes no word of HTTP from it.
    """

    __slots__ = (
        "answer",
        "aside",
        "cancellation",
        "closes",
        "connection",
        "head",
        "is_mute",
        "lingers",
        "origin",
        "status",
        "task",
        "tunnel",
        "under_way",
        "writer",
    )

    def __init__(self, connection: ClientConnection, head: bytes | None = None) -> None:
        self.connection = connection
        self.head = head
        self.under_way: UnderWay | None = None
        self.cancellation: Cancellation | None = None
        self.task: Task | None = None
        self.aside: Aside = nullcontext
        self.origin = ""
        self.writer: AnswerWriter | None = None
        self.tunnel: Tunnel | None = None
        self.answer: Answer | None = None
        self.status: SendStatus | None = None
        self.closes = self.lingers = self.is_mute = False

    @property
    def sender(self) -> Sent | None:
        """What sends the answer: its writer, or the tunnel; None if there is no answer yet."""
        return self.writer if self.tunnel is None else self.tunnel

    def prepare(self, answer: Answer, head: bytes, framing: Framing) -> AnswerWriter:
        """Give the transaction this answer and the writer that sends it, which is returned."""
        connection = self.connection
        writer = AnswerWriter(connection.stream, head, framing, answer.body, connection.wake)
        self.answer, self.writer = answer, writer
        return writer

    def advance(self, *, waits: bool) -> None:
        """Send on as far as is possible; `status` then tells how far the answer has come.

        With `waits` this thread may wait for the body and the disk.
        """
        assert self.writer is not None, "only an answer is sent on"
        self._pass_on(partial(self.writer.advance, waits=waits))
        tunnel = None if self.answer is None else self.answer.tunnel
        if self.status is SendStatus.DONE:
            if tunnel is not None:
                self.status = self._join(tunnel)
            elif self.answer is not None and self.answer.pending is not None:
                self.status = SendStatus.PENDING
            else:
                self.finish()

    def answer_mutely(self, answer: Answer) -> None:
        """Leave the connection to the answer's tunnel, now or once it is decided; without one, end it."""
        self.answer = answer
        if answer.tunnel is not None:
            self.status = self._join(answer.tunnel)
        elif answer.pending is not None:
            self.status = SendStatus.PENDING
        else:
            error = answer.response.error if isinstance(answer.response, Failure) else None
            client = self.connection.client
            log.info("a redirected connection of %s is closed: %s", client, error, extra=LIMITED)
            self.finish()
            self.status = None

    def relay(self, *, has_failed: bool) -> None:
        """Pass on what came from either end of the tunnel; `status` tells as `advance` does.

        `has_failed`: the system says so of an end.
        """
        assert self.tunnel is not None, "it is what is left of the connection"
        self._pass_on(partial(self.tunnel.advance, has_failed=has_failed))
        if self.status is SendStatus.DONE:
            self.finish()

    def _pass_on(self, advance: Callable[[], SendStatus]) -> None:
        """Take the step; if it fails, log why and give the connection up."""
        try:
            self.status = advance()
        except ClientGone:
            self.give_up()
        except ProxyError as error:
            if self.answer is not None:
                self.answer.failed(error)
            self.give_up()
        except OSError as error:
            log.debug("Connection from %s ended: %s", self.connection.client, error)
            self.give_up()
        except BaseException:
            log.exception("an answer to %s failed inside the cache", self.connection.client)
            self.give_up()

    def give_up(self) -> None:
        """End the transaction before its end; the client sees a reset, not what may look like an end."""
        self.status = None
        self.forget()
        if self.answer is not None:
            self.answer.aborted()
        if self.sender is not None and self.sender.head_bytes:
            self.connection.stream.reset()
        self.finish()

    def forget(self) -> None:
        """Break off the steps of a request that has no answer yet, and will have none."""
        under_way, self.under_way = self.under_way, None
        if under_way is not None:
            if under_way.awaited is not None and not isinstance(under_way.awaited, Asks):
                under_way.awaited.forget(self.connection.wake)
            under_way.steps.close()

    def finish(self) -> None:
        """End the transaction's answer, which reports it."""
        sender, answer = self.sender, self.answer
        self.writer = self.tunnel = self.answer = None
        if answer is not None:
            if sender is not None:
                answer.sent(sender.head_bytes, sender.sent)
            answer.close()

    def open_tunnel(self, pending: PendingTunnel, why: str) -> None:
        """Open the answer's tunnel, as it is not intercepted for this reason; waits for the far end."""
        self._pass_on(lambda: self._join(pending.open(why)))

    def _join(self, tunnel: Tunnel) -> SendStatus:
        """Leave the connection to the answer's tunnel, now that its head is sent, if there is one."""
        head_bytes = 0 if self.writer is None else self.writer.head_bytes
        connection = self.connection
        tunnel.join(connection.stream, connection.buffer, head_bytes)
        self.closes, connection.buffer = True, b""
        self.tunnel = tunnel
        return SendStatus.TUNNEL


@dataclass(slots=True)
class UnderWay:
    """A request that is being answered in steps.

    `interim` sends heads before the final one. `parsed` is set if content may follow the request's head.
    `awaited` is what the next step waits for.
    """

    received: RawRequest
    steps: Steps[Answer]
    interim: InterimHeads
    parsed: Parsed | None = None
    awaited: Awaited | Asks | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request that gunicorn's parser has read from the source, and its body."""

    source: BlockingStream
    parser: Any
    request: Any
    body: RequestBody
