"""Sends requests to origins, over kept or new connections, directly or through the parent."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import ip_address

from pyproxycache import clock
from pyproxycache.connection_login import ConnectionLogin
from pyproxycache.errors import (
    LoopDetected,
    ProxyError,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamUnreachable,
    reason,
)
from pyproxycache.facts import Facts, OriginConnected
from pyproxycache.http1.response_heads import ParsedHead
from pyproxycache.messages import Authority, Head, Request, Url
from pyproxycache.options import FetchOptions, ParentOptions
from pyproxycache.upstream.connection import ClosedWhileIdle, OriginConnection, Route
from pyproxycache.upstream.dialling import Admit, Dialler
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.upstream.far_end import FarEnd, Switched
from pyproxycache.upstream.idle import IdleConnections

# Safe and without a body: may be sent a second time.
_REPEATABLE = {"GET", "HEAD", "OPTIONS", "TRACE"}


Silence = Callable[[Url, Head | None], float | None]
"""Gives the longest wait for a byte (seconds) of the body after this head, or of the head if that is None.

None: `fetch.silence`.
"""


def _default_silence(_url: Url, _head: Head | None) -> None:
    return None


class Upstream:
    """Sends requests to origins; connections are made only to addresses that `admit` allows.

    `name` is this proxy's in Via, `authorization` the Proxy-Authorization for the parent, "" for none. Safe
    to use from any thread.
    """

    def __init__(
        self,
        options: FetchOptions,
        parent: ParentOptions | None,
        admit: Admit,
        name: str,
        silence: Silence = _default_silence,
        authorization: str = "",
    ) -> None:
        self._options = options
        self._silence = silence
        self._name = name
        self._parent = parent
        self._admit = admit
        self._dialler = Dialler(options, admit, name, authorization)
        self._idle = IdleConnections()

    def send(self, request: Request, facts: Facts, *, patience: float | None = None) -> Exchange:
        """Send the request and return the exchange: the answer's head, with its body still to be read.

        `patience` limits the wait for the head (seconds). Raises UpstreamUnreachable, UpstreamTimeout,
        UpstreamMalformed, Forbidden or LoopDetected.
        """
        deadline = None if patience is None else clock.steady() + patience
        route = self._route(request.url)
        literal = self._admitted_literal(route, request.client, request.url.host, request.url.port)
        kept = self._kept(route, request)
        if kept is not None:
            try:
                return self._exchange(kept, request, facts, literal, deadline)
            except ClosedWhileIdle as error:
                if not _is_repeatable(request):
                    text = f"{request.url.authority} closed the connection that was logged in"
                    raise UpstreamUnreachable(text, "connection_terminated") from error
                # On a new one, where an error is final: it may be the request that the origin falls over.
        connection = self._dialler.connect(route, request.client, deadline)
        return self._exchange(connection, request, facts, literal, deadline)

    def upgrade(self, request: Request, protocols: str, facts: Facts) -> Exchange | Switched:
        """Send a request to switch to one of the protocols, on a connection of its own.

        Raises what send() does.
        """
        self.refuse_loop(request)
        route = self._route(request.url)
        literal = self._admitted_literal(route, request.client, request.url.host, request.url.port)
        connection = self._dialler.connect(route, request.client, None)
        with _ClosingOnErrors(connection, request.url.authority):
            with _broken_off_with_client(request, connection):
                self._set_silence(connection, request.url, None)
                received = connection.ask(request, self._name, protocols)
            if received.head.status == 101:
                _refuse_other(received.head, protocols)
                facts.note(OriginConnected(connection.peer, route.through_parent))
                return Switched(received.head, connection)
            return self._received(connection, received, request, facts, literal)

    def tunnel(self, end: Authority, via: str, client: str, facts: Facts) -> FarEnd:
        """Open a tunnel to a host and port for the client (its IP address), which the caller has to close.

        `via` is the value of Via for the next proxy, up to the version that this proxy's name follows (RFC
        9110 section 7.6.3). Raises UpstreamUnreachable, UpstreamTimeout,
        RefusedByParent, Forbidden or LoopDetected.
        """
        self._refuse_loop(via, str(end))
        route = self._tunnel_route(end)
        self._admitted_literal(route, client, end.host, end.port)
        connection = self._dialler.connect(route, client, None, via)
        facts.note(OriginConnected(connection.peer, route.through_parent))
        return FarEnd(connection)

    def close_unwanted(self) -> None:
        """Close kept connections that were not used for a while."""
        self._idle.close_unwanted()

    def close_idle(self) -> bool:
        """Close one kept connection to free its descriptor; returns whether there was one."""
        return self._idle.close_oldest()

    def refuse_loop(self, request: Request) -> None:
        """Raise LoopDetected if the request has been through this proxy (RFC 9110 section 7.6.3).

        To be called before it joins a flight, which may itself be waiting for this request.
        """
        self._refuse_loop(request.headers.get("via") or "", str(request.url))

    def _refuse_loop(self, via: str, wanted: str) -> None:
        if any(member.split()[1:2] == [self._name] for member in via.split(",")):
            raise LoopDetected(f"{wanted} has been through this proxy already (Via)")

    def _admitted_literal(self, route: Route, client: str, host: str, port: int) -> str:
        """The host if it is an IP address that is reached through the parent, after admitting it; else "".

        The parent resolves names, so only such an address can be checked.
        """
        literal = _literal_address(host) if route.through_parent else ""
        if literal:
            self._admit(client, literal, port)
        return literal

    def _route(self, url: Url) -> Route:
        origin = Authority(url.host, url.port)
        if url.scheme == "https":
            return replace(self._tunnel_route(origin), secured=origin)
        return self._route_to(origin)

    def _tunnel_route(self, end: Authority) -> Route:
        """The route to a host and port, by a tunnel if it leads through the parent."""
        route = self._route_to(end)
        return replace(route, tunnelled=end) if route.through_parent else route

    def _route_to(self, end: Authority) -> Route:
        if self._parent is None or _is_excepted(end.host, self._parent):
            return Route(end.host, end.port)
        return Route(self._parent.url.host, self._parent.url.port, through_parent=True)

    def _kept(self, route: Route, request: Request) -> OriginConnection | None:
        """A kept connection that this request may use; None if there is none."""
        if request.logs_in:
            return _logged_in(request.login, route)
        if not _is_repeatable(request):  # a kept connection may fail, and the request would be sent again
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
        facts: Facts,
        literal: str,
        deadline: float | None,
    ) -> Exchange:
        with _ClosingOnErrors(connection, request.url.authority):
            with _broken_off_with_client(request, connection):
                connection.reader.deadline = deadline
                self._set_silence(connection, request.url, None)
                received = connection.ask(request, self._name)
                connection.reader.deadline = None
            return self._received(connection, received, request, facts, literal)

    def _received(
        self,
        connection: OriginConnection,
        received: ParsedHead,
        request: Request,
        facts: Facts,
        literal: str,
    ) -> Exchange:
        peer = literal if connection.route.through_parent else connection.peer
        self._set_silence(connection, request.url, received.head)
        keep = self._keep_for(request, received.head)
        return Exchange(connection, received, request.method, peer, facts, keep)

    def _keep_for(self, request: Request, head: Head) -> Callable[[OriginConnection], None] | None:
        """What keeps the connection for later requests, of this client only if it is logged in; or None."""
        if not request.logs_in:
            return None if head.logs_in else self._idle.put
        return None if request.login is None else partial(request.login.keep, request.url.origin)

    def _set_silence(self, connection: OriginConnection, url: Url, head: Head | None) -> None:
        """Set how long the connection waits for a byte of the body, or of the head if that is None."""
        allowed = self._silence(url, head)
        connection.reader.silence = self._options.silence if allowed is None else allowed


def _is_repeatable(request: Request) -> bool:
    """Whether the request may be sent again without harm."""
    return request.body is None and request.method in _REPEATABLE


def _refuse_other(head: Head, protocols: str) -> None:
    """Raise UpstreamMalformed if the 101 switches to none of these (RFC 9110 section 7.8)."""
    # What follows the first lies above it.
    chosen = (head.headers.get("upgrade") or "").partition(",")[0]
    if chosen.strip().lower() not in (one.strip() for one in protocols.lower().split(",")):
        raise UpstreamMalformed("it switches to a protocol that nobody asked for")


def _logged_in(login: ConnectionLogin | None, route: Route) -> OriginConnection | None:
    """The client's own connection, if it is still usable and has this route; else None."""
    connection: OriginConnection | None = None if login is None else login.take()
    if connection is None or (connection.route == route and connection.is_usable()):
        return connection
    connection.close()
    return None


def _broken_off_with_client(
    request: Request, connection: OriginConnection
) -> contextlib.AbstractContextManager[None]:
    """A context in which the connection is broken off when the client goes, if the request is safe."""
    if request.cancellation is None or not _is_repeatable(request):
        return contextlib.nullcontext()
    return request.cancellation.tied(connection.break_off)


class _ClosingOnErrors:
    """A context that closes the connection on an error, and raises it as the matching upstream error."""

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
    """The IP address if the host is one, in any notation; "" for a name."""
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
