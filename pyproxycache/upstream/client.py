"""Requests to origins, over kept or new connections, straight or through the parent."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address

from pyproxycache import clock
from pyproxycache.errors import (
    LoopDetected,
    ProxyError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
    reason,
)
from pyproxycache.http1.response_heads import ParsedHead
from pyproxycache.login import Login
from pyproxycache.messages import Head, Request, Url
from pyproxycache.options import FetchOptions, ParentOptions
from pyproxycache.outcome import Outcome
from pyproxycache.upstream.connection import ClosedWhileIdle, OriginConnection, Route
from pyproxycache.upstream.dialling import Admit, Dialler
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.upstream.idle import IdleConnections
from pyproxycache.upstream.switched import Switched

# Safe and without a body: asked twice is as good as asked once.
_REPEATABLE = {"GET", "HEAD", "OPTIONS", "TRACE"}


Silence = Callable[[Url, Head | None], float | None]
"""The longest wait for a byte (seconds) of the body behind this head of the URL's, or of a head; None: as
the options have it."""


def _as_usual(_url: Url, _head: Head | None) -> None:
    return None


class Upstream:
    """Sends requests; connections are dialled to addresses that `admit` has seen."""

    def __init__(
        self,
        options: FetchOptions,
        parent: ParentOptions | None,
        admit: Admit,
        name: str,
        silence: Silence = _as_usual,
    ) -> None:
        self._options = options
        self._silence = silence
        self._name = name
        self._parent = parent
        self._admit = admit
        self._dialler = Dialler(options, admit)
        self._idle = IdleConnections()

    def send(self, request: Request, outcome: Outcome, *, patience: float | None = None) -> Exchange:
        """The answer's head, its body still to be read; `patience` limits the wait for it (seconds).

        Raises UpstreamUnreachable, UpstreamTimeout, UpstreamMalformed, Forbidden or LoopDetected.
        """
        deadline = None if patience is None else clock.steady() + patience
        route = self._route(request.url)
        literal = self._admitted_literal(route, request)
        while (connection := self._kept(route, request)) is not None:
            try:
                return self._exchange(connection, request, outcome, literal, deadline)
            except ClosedWhileIdle as error:
                if not _is_repeatable(request):
                    text = f"{request.url.authority} closed the connection that was logged in"
                    raise UpstreamUnreachable(text, "connection_terminated") from error
        connection = self._dialler.connect(route, request.client, deadline)
        return self._exchange(connection, request, outcome, literal, deadline)

    def upgrade(self, request: Request, protocols: str, outcome: Outcome) -> Exchange | Switched:
        """The answer to a request to go on in one of the protocols, on a connection of its own.

        Raises what `send` does.
        """
        self.refuse_loop(request)
        route = self._route(request.url)
        literal = self._admitted_literal(route, request)
        connection = self._dialler.connect(route, request.client, None)
        with _ClosingOnErrors(connection, request.url.authority):
            self._bear_silence(connection, request.url, None)
            received = connection.ask(request, self._name, protocols)
            if received.head.status == 101:
                outcome.peer, outcome.through_parent = connection.peer, route.through_parent
                return Switched(received.head, connection)
            return self._received(connection, received, request, outcome, literal)

    def close_unwanted(self) -> None:
        """Close kept connections that nobody has needed for a while."""
        self._idle.close_unwanted()

    def close_idle(self) -> bool:
        """Close a kept connection, for its descriptor; whether there was any."""
        return self._idle.close_oldest()

    def refuse_loop(self, request: Request) -> None:
        """Raises LoopDetected where the request has been through this proxy (RFC 9110 section 7.6.3).

        Before it waits for an answer, which may be the one that waits for it.
        """
        for via in (request.headers.get("via") or "").split(","):
            if via.split()[1:2] == [self._name]:
                raise LoopDetected(f"{request.url} has been through this proxy already (Via)")

    def _admitted_literal(self, route: Route, request: Request) -> str:
        """The address in a URL that goes through the parent, where only that can be judged; else ""."""
        literal = _literal_address(request.url.host) if route.through_parent else ""
        if literal:
            self._admit(request.client, literal, request.url.port)
        return literal

    def _route(self, url: Url) -> Route:
        host, port = url.host, url.port
        secured = (host, port) if url.scheme == "https" else None
        if self._parent is None or _is_excepted(host, self._parent):
            return Route(host, port, secured=secured)
        return Route(self._parent.url.host, self._parent.url.port, through_parent=True, secured=secured)

    def _kept(self, route: Route, request: Request) -> OriginConnection | None:
        """An idle connection that this request may go over."""
        if request.logs_in:
            return _logged_in(request.login, route)
        if not _is_repeatable(request):  # should it fail
            return None
        connection = self._idle.take(route)
        if connection is not None and not route.through_parent:
            try:
                self._admit(request.client, connection.peer, route.port)
            except ProxyError:
                self._idle.put(connection)
                return None
        return connection

    def _exchange(
        self,
        connection: OriginConnection,
        request: Request,
        outcome: Outcome,
        literal: str,
        deadline: float | None,
    ) -> Exchange:
        with _ClosingOnErrors(connection, request.url.authority):
            with _tied(request, connection):
                connection.reader.deadline = deadline
                self._bear_silence(connection, request.url, None)
                received = connection.ask(request, self._name)
                connection.reader.deadline = None
            return self._received(connection, received, request, outcome, literal)

    def _received(
        self,
        connection: OriginConnection,
        received: ParsedHead,
        request: Request,
        outcome: Outcome,
        literal: str,
    ) -> Exchange:
        peer = literal if connection.route.through_parent else connection.peer
        self._bear_silence(connection, request.url, received.head)
        keep = self._keeping(request, received.head)
        return Exchange(connection, received, request.method, peer, outcome, keep)

    def _keeping(self, request: Request, head: Head) -> Callable[[OriginConnection], None] | None:
        """What keeps the connection for another request, of this client alone where it is logged in."""
        if not request.logs_in:
            return None if head.logs_in else self._idle.put
        return None if request.login is None else partial(request.login.keep, request.url.origin)

    def _bear_silence(self, connection: OriginConnection, url: Url, head: Head | None) -> None:
        """Have the connection wait as long as it may for the head, or for the body behind it."""
        allowed = self._silence(url, head)
        connection.reader.silence = self._options.silence if allowed is None else allowed


def _is_repeatable(request: Request) -> bool:
    return request.body is None and request.method in _REPEATABLE


def _logged_in(login: Login | None, route: Route) -> OriginConnection | None:
    """The client's own connection, if it is still good and leads there."""
    connection: OriginConnection | None = None if login is None else login.take()
    if connection is None or (connection.route == route and connection.is_quiet()):
        return connection
    connection.close()
    return None


def _tied(request: Request, connection: OriginConnection) -> contextlib.AbstractContextManager[None]:
    """Asking ends with the client's interest, where an origin that was asked in vain is none the worse."""
    if request.interest is None or not _is_repeatable(request):
        return contextlib.nullcontext()
    return request.interest.tied(connection.break_off)


class _ClosingOnErrors:
    """Errors of the connection as upstream errors."""

    def __init__(self, connection: OriginConnection, authority: str) -> None:
        self._connection = connection
        self._authority = authority
        self._before = connection.reader.received

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        connection, authority = self._connection, self._authority
        connection.close()
        if isinstance(error, TimeoutError):
            kind = None if connection.reader.deadline is None else "http_response_timeout"
            raise UpstreamTimeout(f"{authority} did not answer in time", kind) from error
        if isinstance(error, UpstreamMalformed):
            text = f"{authority} did not answer in HTTP: {error}"
            raise UpstreamMalformed(text, error.proxy_error) from error
        if isinstance(error, OSError | EOFError):
            if connection.used and connection.reader.received == self._before:
                raise ClosedWhileIdle from error
            text = f"{authority} broke off before it had answered: {reason(error)}"
            raise UpstreamUnreachable(text, "connection_terminated") from error


def _literal_address(host: str) -> str:
    """The address that the host is, in any of the ways to write one; "" for a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return ""
    return str(found[0][4][0])


def _is_excepted(host: str, parent: ParentOptions) -> bool:
    """Whether the host is reached without the parent."""
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    for exception in parent.exceptions:
        if not isinstance(exception, str):
            if address is not None and address in exception:
                return True
        elif host == exception.removeprefix(".") or (
            exception.startswith(".") and host.endswith(exception)
        ):
            return True
    return False
