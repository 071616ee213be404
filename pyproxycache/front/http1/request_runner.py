"""Runs the steps of requests in threads: parses, has the application answer, and begins to send."""

from __future__ import annotations

import io
import logging
import ssl
from collections.abc import Callable
from typing import Any

from gunicorn.http import errors as http_errors
from gunicorn.http import get_parser
from gunicorn.util import http_date

from pyproxycache import clock
from pyproxycache.body import BytesBody
from pyproxycache.cancellation import Cancellation
from pyproxycache.front.answers.answer import Answer
from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.answers.application import Application
from pyproxycache.front.http1.blocking_stream import BlockingStream
from pyproxycache.front.http1.transaction import Parsed, Transaction, UnderWay
from pyproxycache.front.loop.answer_writer import AnswerWriter, SendStatus
from pyproxycache.front.memory.reusable_answers import ReusableAnswer, reusable_answer_of
from pyproxycache.front.requests.interim import InterimHeads
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.refusals import (
    as_ours,
    check_protocol,
    plain_where_tls_is,
    reason_of_refusal,
    refusal,
    refused_with,
)
from pyproxycache.front.requests.request_body import RequestBody
from pyproxycache.front.requests.simple import names_as_sent, simple_head
from pyproxycache.front.requests.target import with_ascii_target
from pyproxycache.http1.answer_heads import Framing, framing_of, head_bytes
from pyproxycache.messages import Headers
from pyproxycache.outcome import Result
from pyproxycache.serving.status_fields import proxy_status
from pyproxycache.steps import Asks, Awaited, Steps

log = logging.getLogger("pyproxycache")

_DRAINED = 64 << 10
_NO_CONTENT = io.BytesIO()
_SHARED = {Result.HIT, Result.REVALIDATED, Result.COLLAPSED}
# The client left, or neither sent nor took a byte for a minute.
_CLIENT_GONE = (ConnectionError, BlockingIOError, TimeoutError, ssl.SSLError)

MayAsk = Callable[[Transaction, str], bool]
"""Takes a transaction and an origin; whether the request may wait for that origin now."""
Learn = Callable[[Transaction, ReusableAnswer | None, bool], None]
"""Takes a transaction, its answer if memory may keep it, and whether the store has it for others."""


class RequestRunner:
    """Answers the requests that memory does not answer; called by any thread that has the transaction.

    `is_stopping` tells whether the worker is to end.
    """

    def __init__(
        self,
        cfg: Any,
        application: Application,
        reuse: AnswerReuse,
        is_stopping: Callable[[], bool],
        learn: Learn,
        may_ask: MayAsk,
    ) -> None:
        self._cfg = cfg
        self._application = application
        self._reuse = reuse
        self._is_stopping = is_stopping
        self._learn = learn
        self._may_ask = may_ask

    def answer(self, transaction: Transaction) -> None:
        """Answer the request whose head is in the connection's buffer, and send what can be sent.

        If the answer needs something that has to be waited for, `status` is NO_ANSWER, and `go_on` is to
        be called when that has come. Without a task, as on the poller, this waits for nothing.
        """
        self._safely(transaction, self._received)

    def go_on(self, transaction: Transaction) -> None:
        """Go on with a request whose `under_way` has not given an answer yet."""
        self._safely(transaction, self._step)

    def refuse_plain(self, transaction: Transaction) -> None:
        """Refuse plain HTTP where TLS is spoken: answer in plain text that it is."""
        self._refuse(transaction, plain_where_tls_is())

    def pass_on(self, transaction: Transaction) -> None:
        """Pass a redirected connection on to where it was made, by a tunnel and without a word of HTTP."""
        transaction.is_mute = True
        self._safely(transaction, self._redirected)

    def _safely(self, transaction: Transaction, work: Callable[[Transaction], None]) -> None:
        try:
            work(transaction)
        except (http_errors.NoMoreData, StopIteration, *_CLIENT_GONE) as gone:
            log.debug("Connection from %s ended: %s", transaction.connection.client, type(gone).__name__)
            transaction.give_up()
        except Exception as error:
            self._refuse(transaction, error)

    def _received(self, transaction: Transaction) -> None:
        """Begin with the request whose head is in the buffer."""
        connection, head = transaction.connection, transaction.head
        transaction.cancellation = Cancellation()
        parsed_head = None if head is None else simple_head(head, self._cfg)
        if head is None or parsed_head is None:
            received, interim, parsed = self._parsed(transaction)
        else:
            connection.buffer = connection.buffer[len(head) :]
            if parsed_head.method == "CONNECT":
                transaction.head = None  # each has a tunnel of its own
            interim, parsed = InterimHeads(BlockingStream(connection, lambda: transaction.aside())), None
            method, target, version, headers = parsed_head
            received = RawRequest(
                method,
                target,
                connection.ingress.version or version,
                headers,
                connection.client,
                _NO_CONTENT,
                interim.forward,
                transaction.cancellation,
                connection.login,
                connection.ingress,
            )
        transaction.under_way = UnderWay(received, self._application.answer(received), interim, parsed)
        self._step(transaction)

    def _redirected(self, transaction: Transaction) -> None:
        """Begin with what a client that knew of the proxy would ask for by CONNECT."""
        connection = transaction.connection
        end = str(connection.ingress.destination)
        transaction.cancellation = Cancellation()
        received = RawRequest(
            "CONNECT",
            end,
            (1, 1),
            Headers((("Host", end),)),
            connection.client,
            _NO_CONTENT,
            cancellation=transaction.cancellation,
            ingress=connection.ingress,
        )
        interim = InterimHeads(BlockingStream(connection, lambda: transaction.aside()))
        transaction.under_way = UnderWay(received, self._application.answer(received), interim)
        self._step(transaction)

    def _parsed(self, transaction: Transaction) -> tuple[RawRequest, InterimHeads, Parsed]:
        """The request in the buffer, by gunicorn's parser: it may have content behind its head."""
        connection = transaction.connection
        check_protocol(connection.buffer)
        connection.buffer = with_ascii_target(connection.buffer)
        head, _end, _behind = connection.buffer.partition(b"\r\n\r\n")
        sent = names_as_sent(head)
        source = BlockingStream(connection, lambda: transaction.aside())
        parser = get_parser(self._cfg, source, connection.address)
        request = _parsed(transaction, source, parser)
        interim = InterimHeads(source)
        body = RequestBody(request, interim)
        received = RawRequest(
            request.method,
            request.uri,
            connection.ingress.version or request.version,
            Headers((sent.get(name, name.title()), value) for name, value in request.headers),
            connection.client,
            body,
            interim.forward,
            transaction.cancellation,
            connection.login,
            connection.ingress,
        )
        return received, interim, Parsed(source, parser, request, body)

    def _step(self, transaction: Transaction) -> None:
        """Run the request's steps up to its answer, or up to what it has to wait for."""
        under_way = transaction.under_way
        assert under_way is not None, "the caller has begun"
        under_way.interim.belong_here()
        try:
            under_way.awaited = self._next(transaction, under_way.steps)
            transaction.status = SendStatus.NO_ANSWER
        except StopIteration as done:
            transaction.under_way = None
            under_way.interim.end()
            transaction.answer = done.value
            self._answered(transaction, under_way, done.value)
        except BaseException:
            transaction.under_way = None
            under_way.interim.end()
            raise

    def _next(self, transaction: Transaction, steps: Steps[Answer]) -> Awaited | Asks:
        """The next thing to wait for without this thread; raises StopIteration with the answer."""
        while True:
            awaited = next(steps)
            if not isinstance(awaited, Asks):
                return awaited
            transaction.origin = awaited.origin
            if not self._may_ask(transaction, awaited.origin):
                return awaited

    def _answered(self, transaction: Transaction, under_way: UnderWay, answer: Answer) -> None:
        """Send the answer."""
        if transaction.is_mute:
            transaction.answer_mutely(answer)
            return
        received, parsed = under_way.received, under_way.parsed
        closes = self._closes(received, answer)
        early = b""
        if parsed is not None:
            closes = self._leave_body(transaction, parsed) or closes
            early = parsed.parser.unreader.take_buffered()
        transaction.connection.buffer = early + transaction.connection.buffer
        self._begin(transaction, answer, received, closes=closes)
        transaction.advance(waits=transaction.task is not None)

    def _leave_body(self, transaction: Transaction, parsed: Parsed) -> bool:
        """Pass over the unread rest of the request's body; returns whether the connection has to end."""
        body = parsed.body
        if body.is_untouched and not body.bars_the_way:
            transaction.connection.unread = body.left
        elif not _drained_to_end(parsed.source, parsed.parser):
            # The next request would begin where this one's body has not ended.
            transaction.lingers = True
        return transaction.lingers or parsed.request.should_close()

    def _closes(self, received: RawRequest, answer: Answer) -> bool:
        """Whether client or cache ends the connection with this answer (RFC 9112 section 9.3)."""
        options = received.connection_options
        return (
            self._is_stopping()
            or "close" in options
            or (received.version < (1, 1) and "keep-alive" not in options)
            or answer.response.head.headers.get("connection") == "close"
        )

    def _begin(
        self, transaction: Transaction, answer: Answer, received: RawRequest, *, closes: bool
    ) -> None:
        framing = framing_of(received.method, received.version, answer.response.head)
        transaction.closes = closes or framing.ends_connection
        # A client that is refused a tunnel may have sent bytes for it already.
        transaction.lingers |= closes and received.method == "CONNECT"
        head = head_bytes(answer.response.head, framing, closes=transaction.closes)
        if transaction.head is not None:
            now, closes = clock.wall(), transaction.closes
            reusable = reusable_answer_of(answer, head, framing, self._reuse, now, closes=closes)
            is_shared = answer.outcome.stored or answer.outcome.result in _SHARED
            self._learn(transaction, reusable, is_shared)
        transaction.prepare(answer, head, framing)

    def _refuse(self, transaction: Transaction, error: Exception) -> None:
        """Answer what is not valid HTTP, or failed in here, with an error, and close the connection."""
        connection = transaction.connection
        if transaction.is_mute:
            log.error("Error passing on a connection of %s", connection.client, exc_info=error)
            transaction.give_up()
            return
        if isinstance(error, http_errors.ParseException):
            status, text = refused_with(error), refusal(error)
            # Without the text: it quotes the request, which may hold secrets.
            log.info("refused a request of %s: %s", connection.client, reason_of_refusal(error))
        else:
            status, text = "500 Internal Server Error", "the cache failed; its log says more"
            log.error("Error handling a request of %s", connection.client, exc_info=error)
        body = text.encode("latin-1", "replace") + b"\n"
        name = self._application.name
        head = (
            f"HTTP/1.1 {status}\r\nDate: {http_date()}\r\nConnection: close\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            f"Via: 1.1 {name}\r\nProxy-Status: {proxy_status(as_ours(error), name)}\r\n\r\n"
        ).encode("latin-1")
        transaction.forget()
        if transaction.answer is not None:
            transaction.answer.aborted()
            transaction.finish()
        transaction.closes = transaction.lingers = True
        whole = Framing(has_body=True, length=len(body), is_chunked=False, ends_connection=False)
        transaction.writer = AnswerWriter(connection.stream, head, whole, BytesBody(body), connection.wake)
        transaction.advance(waits=True)
        if isinstance(error, http_errors.ParseException):
            self._application.refused(connection.client, int(status[:3]), len(head), len(body))


def _parsed(transaction: Transaction, source: BlockingStream, parser: Any) -> Any:
    """The parsed request; raises what is wrong with it, also for a head that is not whole."""
    source.waits = transaction.head is not None
    try:
        return next(parser)
    except BlockingIOError as error:
        raise http_errors.LimitRequestHeaders("the request's head is too large") from error
    finally:
        source.waits = True


def _drained_to_end(source: BlockingStream, parser: Any) -> bool:
    """Read and drop what has come of the request's body; returns whether that was its end."""
    source.waits = False
    try:
        return bool(parser.finish_body(max_bytes=_DRAINED))
    except Exception:
        return False
    finally:
        source.waits = True
