"""In a thread: a request is parsed, answered by the application, and its answer sent as far as it goes."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gunicorn.http import errors as http_errors
from gunicorn.http import get_parser
from gunicorn.util import http_date

from pyproxycache import clock
from pyproxycache.errors import ClientGone, ProxyError
from pyproxycache.front.app import Answer, App
from pyproxycache.front.http1.connection import BlockingStream, ClientConnection, Parsed, UnderWay
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.loop.sending import Sending, SendStatus
from pyproxycache.front.memory.repeats import Repeat, repeat_of
from pyproxycache.front.requests.interim import InterimHeads
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.refusals import as_ours, reason_of_refusal, refusal, refused_with
from pyproxycache.front.requests.request_body import RequestBody
from pyproxycache.front.requests.simple import names_as_sent, simple_request
from pyproxycache.front.requests.target import with_ascii_target
from pyproxycache.http1.answer_heads import Framing, framing, head_bytes
from pyproxycache.interest import Interest
from pyproxycache.outcome import Result
from pyproxycache.serving.status_fields import proxy_status
from pyproxycache.steps import Asks, Awaited, Steps

log = logging.getLogger("pyproxycache")

_BREAK = struct.pack("ii", 1, 0)
_DRAINED = 64 << 10
_SHARED = {Result.HIT, Result.REVALIDATED, Result.COLLAPSED}
# It left, or neither sent nor took a byte for a minute.
_CLIENT_GONE = (ConnectionError, BlockingIOError, TimeoutError, ssl.SSLError)

MayAsk = Callable[[ClientConnection, str], bool]
"""Whether the connection's request may wait for this origin now."""
Learn = Callable[[ClientConnection, Repeat | None, bool], None]
"""Connection, what its answer may be repeated by, and whether the next one may get it from the store."""


class RequestRunner:
    """Answers what the poller has no answer to; called in any thread.

    `is_stopping` says whether the worker is to end.
    """

    def __init__(
        self,
        cfg: Any,
        app: App,
        is_stopping: Callable[[], bool],
        learn: Learn,
        may_ask: MayAsk,
    ) -> None:
        self._cfg = cfg
        self._app = app
        self._is_stopping = is_stopping
        self._learn = learn
        self._may_ask = may_ask

    def answer(self, connection: ClientConnection) -> None:
        """Answer the request whose head is in the connection's buffer, and send what can be sent.

        Where the answer needs what is on its way to others, `send_status` says so, and `go_on` is to be
        called when that is there.
        """
        self._safely(connection, self._received)

    def go_on(self, connection: ClientConnection) -> None:
        """Answer a request whose `under_way` did not come to its end."""
        self._safely(connection, self._step)

    def _safely(self, connection: ClientConnection, work: Callable[[ClientConnection], None]) -> None:
        try:
            work(connection)
        except (http_errors.NoMoreData, StopIteration, *_CLIENT_GONE) as gone:
            log.debug("Connection from %s ended: %s", connection.client, type(gone).__name__)
            self.give_up(connection)
        except Exception as error:
            self._refuse(connection, error)

    def _received(self, connection: ClientConnection) -> None:
        """Begin with the request whose head is in the buffer."""
        head, parsed = connection.head, None
        received = None if head is None else simple_request(head, connection.client, self._cfg)
        if head is not None and received is not None:
            connection.buffer = connection.buffer[len(head) :]
            interim = InterimHeads(BlockingStream(connection))
            if received.version >= (1, 1):
                received = replace(received, interim=interim.forward)
        else:
            received, interim, parsed = self._parsed(connection)
        connection.interest = Interest()
        received = replace(received, interest=connection.interest, login=connection.login)
        connection.under_way = UnderWay(received, self._app(received), interim, parsed)
        self._step(connection)

    def _parsed(self, connection: ClientConnection) -> tuple[RawRequest, InterimHeads, Parsed]:
        """A request that may have something behind its head."""
        connection.buffer = with_ascii_target(connection.buffer)
        head, _end, _behind = connection.buffer.partition(b"\r\n\r\n")
        sent = names_as_sent(head)
        source = BlockingStream(connection)
        parser = get_parser(self._cfg, source, connection.address)
        request = _parsed(connection, source, parser)
        interim = InterimHeads(source)
        body = RequestBody(request, interim)
        received = RawRequest(
            request.method,
            request.uri,
            request.version,
            tuple((sent.get(name, name.title()), value) for name, value in request.headers),
            connection.client,
            body,
            interim.forward if request.version >= (1, 1) else None,
        )
        return received, interim, Parsed(source, parser, request, body)

    def _step(self, connection: ClientConnection) -> None:
        """Go on with the request that is under way, up to its answer or what it has to wait for."""
        under_way = connection.under_way
        assert under_way is not None, "the caller has begun"
        under_way.interim.belong_here()
        try:
            under_way.awaited = self._next(connection, under_way.steps)
            connection.send_status = SendStatus.NO_ANSWER
        except StopIteration as done:
            connection.under_way = None
            under_way.interim.end()
            connection.answer = done.value
            self._answered(connection, under_way, done.value)
        except BaseException:
            connection.under_way = None
            under_way.interim.end()
            raise

    def _next(self, connection: ClientConnection, steps: Steps[Answer]) -> Awaited | Asks:
        """What has to be waited for, without this thread; raises StopIteration with the answer."""
        while True:
            awaited = next(steps)
            if not isinstance(awaited, Asks):
                return awaited
            connection.origin = awaited.origin
            if not self._may_ask(connection, awaited.origin):
                return awaited

    def _answered(self, connection: ClientConnection, under_way: UnderWay, answer: Answer) -> None:
        """Send the answer."""
        received, parsed = under_way.received, under_way.parsed
        closes = self._closes(received, answer)
        early = b""
        if parsed is not None:
            closes = self._leave_body(connection, parsed) or closes
            early = parsed.parser.unreader.take_buffered()
        connection.buffer = early + connection.buffer
        self._begin(connection, answer, received, closes=closes)
        self.advance(connection, waits=True)

    def _leave_body(self, connection: ClientConnection, parsed: Parsed) -> bool:
        """Pass over what was not read of the request's body; whether the connection has to end for it."""
        body = parsed.body
        if body.is_untouched and not body.bars_the_way:
            connection.unread = body.left
        elif not _is_read(parsed.source, parsed.parser):
            # The next request would begin where this one's body has not ended.
            connection.lingers = True
        return connection.lingers or parsed.request.should_close()

    def _closes(self, received: RawRequest, answer: Answer) -> bool:
        """Whether one of both sides has the connection end here (RFC 9112 section 9.3)."""
        options = _connection_options(received)
        return (
            self._is_stopping()
            or "close" in options
            or (received.version < (1, 1) and "keep-alive" not in options)
            or answer.response.head.headers.get("connection") == "close"
        )

    def _begin(
        self, connection: ClientConnection, answer: Answer, received: RawRequest, *, closes: bool
    ) -> None:
        shape = framing(received.method, received.version, answer.response.head)
        connection.closes = closes or shape.ends_connection
        head = head_bytes(answer.response.head, shape, closes=connection.closes)
        if connection.head is not None:
            repeat = repeat_of(answer, head, shape, self._app, clock.wall(), closes=connection.closes)
            is_shared = answer.outcome.stored or answer.outcome.result in _SHARED
            self._learn(connection, repeat, is_shared)
        self.prepare(connection, answer, head, shape)

    def prepare(self, connection: ClientConnection, answer: Answer, head: bytes, shape: Framing) -> None:
        """Have the connection send this answer from here on."""
        connection.answer = answer
        connection.sending = Sending(connection.sock, head, shape, answer.body, connection.wake)

    def advance(self, connection: ClientConnection, *, waits: bool) -> None:
        """Send on; `send_status` tells how far it came, None where the connection is broken."""
        sending, answer = connection.sending, connection.answer
        assert sending is not None, "only an answer is sent on"
        try:
            if isinstance(sending, Tunnel):
                connection.send_status = sending.advance()
            else:
                connection.send_status = sending.advance(waits=waits)
        except ClientGone:
            self.give_up(connection)
        except ProxyError as error:
            if answer is not None:
                answer.failed(error)
            self.give_up(connection)
        except OSError as error:
            log.debug("Connection from %s ended: %s", connection.client, error)
            self.give_up(connection)
        except BaseException:
            log.exception("an answer to %s failed inside the cache", connection.client)
            self.give_up(connection)
        else:
            if connection.send_status is not SendStatus.DONE:
                return
            tunnel = None if answer is None else answer.tunnel
            if tunnel is not None and tunnel is not sending:
                self._join(connection, tunnel)
            else:
                self.finish(connection)

    def give_up(self, connection: ClientConnection) -> None:
        """Let the client see that this is not the end, even one that does not count the bytes: reset."""
        connection.send_status = None
        self._forget(connection)
        if connection.answer is not None:
            connection.answer.aborted()
        sock = connection.sock
        if connection.sending is not None and connection.sending.head_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BREAK)
        self.finish(connection)

    def _forget(self, connection: ClientConnection) -> None:
        """Let go of a request that has no answer yet, and will have none."""
        under_way, connection.under_way = connection.under_way, None
        if under_way is not None:
            if under_way.awaited is not None and not isinstance(under_way.awaited, Asks):
                under_way.awaited.forget(connection.wake)
            under_way.steps.close()

    def finish(self, connection: ClientConnection) -> None:
        """The answer is over, and is reported."""
        sending, answer = connection.sending, connection.answer
        connection.sending = connection.answer = None
        if answer is not None:
            if sending is not None:
                answer.sent(sending.head_bytes, sending.sent)
            answer.close()

    def _join(self, connection: ClientConnection, tunnel: Tunnel) -> None:
        """The answer's head is sent: leave the connection to its tunnel."""
        assert connection.sending is not None, "it has sent the head"
        tunnel.join(connection.sock, connection.buffer, connection.sending.head_bytes)
        connection.closes, connection.buffer = True, b""
        connection.sending, connection.send_status = tunnel, SendStatus.TUNNEL

    def _refuse(self, connection: ClientConnection, error: Exception) -> None:
        """Refuse what is not HTTP, with the reason, and close."""
        if isinstance(error, http_errors.ParseException):
            status, text = refused_with(error), refusal(error)
            # Without the text: it quotes the request, which may hold secrets.
            log.info("refused a request of %s: %s", connection.client, reason_of_refusal(error))
        else:
            status, text = "500 Internal Server Error", "the cache failed; its log says more"
            log.error("Error handling a request of %s", connection.client, exc_info=error)
        body = text.encode("latin-1", "replace") + b"\n"
        name = self._app.name
        head = (
            f"HTTP/1.1 {status}\r\nDate: {http_date()}\r\nConnection: close\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            f"Via: 1.1 {name}\r\nProxy-Status: {proxy_status(as_ours(error), name)}\r\n\r\n"
        ).encode("latin-1")
        self._forget(connection)
        if connection.answer is not None:
            connection.answer.aborted()
            self.finish(connection)
        connection.closes = connection.lingers = True
        whole = Framing(has_body=True, length=len(body), is_chunked=False, ends_connection=False)
        connection.sending = Sending(connection.sock, head, whole, (body,), connection.wake)
        self.advance(connection, waits=True)
        if isinstance(error, http_errors.ParseException):
            self._app.refused(connection.client, int(status[:3]), len(head), len(body))


def _parsed(connection: ClientConnection, source: BlockingStream, parser: Any) -> Any:
    """The request; of a head that is not whole the parser has to say what is wrong with what is there."""
    source.waits = connection.head is not None
    try:
        return next(parser)
    except BlockingIOError as error:
        raise http_errors.LimitRequestHeaders("the request's head is too large") from error
    finally:
        source.waits = True


def _is_read(source: BlockingStream, parser: Any) -> bool:
    """Whether the request's body is read to its end, with what of it is there by now."""
    source.waits = False
    try:
        return bool(parser.finish_body(max_bytes=_DRAINED))
    except Exception:
        return False
    finally:
        source.waits = True


def _connection_options(received: RawRequest) -> set[str]:
    """The options in all lines of Connection, in lower case (RFC 9110 section 7.6.1)."""
    lines = [value for name, value in received.fields if name.lower() == "connection"]
    return {option.strip().lower() for line in lines for option in line.split(",")}
