"""Sends requests to origins, over kept or new connections, directly or through the parent."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from functools import partial

from pyproxycache import clock
from pyproxycache.connection_login import ConnectionLogin
from pyproxycache.errors import (
    LoopDetected,
    Offline,
    ProxyError,
    UpstreamMalformed,
    UpstreamUnreachable,
)
from pyproxycache.facts import Facts, OriginConnected
from pyproxycache.http1.response_heads import ParsedHead
from pyproxycache.messages import Head, Headers, Request
from pyproxycache.net.names import Names
from pyproxycache.options import FetchOptions, ParentOptions
from pyproxycache.upstream.authorizations import Authorizations
from pyproxycache.upstream.connection import ClosedWhileIdle, ClosingOnErrors, OriginConnection
from pyproxycache.upstream.dialling import Admit, Dialler
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.upstream.far_end import FarEnd, Switched
from pyproxycache.upstream.idle import IdleConnections
from pyproxycache.upstream.next_hops import NextHop, NextHops
from pyproxycache.upstream.origin_tls import OriginTls, TlsOfHost, no_tls_of_its_own
from pyproxycache.upstream.pools.member import NoteSent
from pyproxycache.upstream.pools.pool import is_repeatable
from pyproxycache.upstream.pools.pools import Pools
from pyproxycache.upstream.redirects import Redirects
from pyproxycache.url import Authority, Url

Silence = Callable[[Url, Head | None], float | None]
"""Gives the longest wait for a byte (seconds) of the body after this head, or of the head if that is None.

None: `fetch.silence`.
"""


def _default_silence(_url: Url, _head: Head | None) -> None:
    return None


class Upstream:
    """Sends requests to origins; connections are made only to addresses that `admit` allows.

    `name` is this proxy's in Via, `authorization` the Proxy-Authorization for the parent, "" for none.
    `names` looks hosts up, `redirects` for requests that follow redirects, `authorizations` for those
    with an access, `pools` for those that one of several upstreams answers. Safe to use from any thread.
    Raises ConfigError if a file of authorities cannot be used.
    """

    def __init__(
        self,
        options: FetchOptions,
        parent: ParentOptions | None,
        admit: Admit,
        name: str,
        silence: Silence = _default_silence,
        authorization: str = "",
        tls_of_host: TlsOfHost = no_tls_of_its_own,
        names: Names | None = None,
        redirects: Redirects | None = None,
        authorizations: Authorizations | None = None,
        pools: Pools | None = None,
    ) -> None:
        self._options = options
        self._silence = silence
        self._name = name
        self._redirects = redirects
        self._authorizations = authorizations or Authorizations()
        self._pools = pools or Pools()
        self._next_hops = NextHops(parent)
        self._admit = admit
        tls = OriginTls(options, tls_of_host)
        self._dialler = Dialler(options, tls, admit, name, authorization, names or Names())
        self._idle = IdleConnections()

    def send(self, request: Request, facts: Facts, *, patience: float | None = None) -> Exchange:
        """Send the request and return the exchange: the answer's head, with its body still to be read.

        `patience` limits the wait for the head (seconds). Redirects are followed if the request wants that.
        Raises UpstreamUnreachable, UpstreamTimeout, UpstreamMalformed, Offline, Forbidden or LoopDetected.
        """
        follows = request.follows_redirects and request.method in ("GET", "HEAD")
        if self._redirects is None or not follows:
            return self._sent(request, facts, patience)
        return self._redirects.followed(request, lambda one: self._sent(one, facts, patience))

    def _sent(self, request: Request, facts: Facts, patience: float | None) -> Exchange:
        """Send the request by its access, and return the exchange, whatever its answer is."""
        if request.access is None:
            return self._sent_as_it_is(request, facts, patience)
        known = self._authorizations.known(request)
        exchange = self._sent_as_it_is(_authorized(request, known), facts, patience)

        def ask(url: Url, authorization: str, seconds: float) -> Exchange:
            plain = Request("GET", url, Headers([("Accept", "application/json")]), request.client)
            return self._sent_as_it_is(_authorized(plain, authorization), Facts(), seconds)

        try:
            wanted = self._authorizations.asked_for(request, known, exchange.head, ask)
        except BaseException:
            exchange.close()
            raise
        if not wanted:
            return exchange
        exchange.close()
        return self._sent_as_it_is(_authorized(request, wanted), facts, patience)

    def _sent_as_it_is(self, request: Request, facts: Facts, patience: float | None) -> Exchange:
        self._refuse_offline(f"{request.url} is not stored")
        waits = [one for one in (patience, request.patience) if one is not None]
        deadline = clock.steady() + min(waits) if waits else None

        def send(one: Request, note_sent: NoteSent) -> Exchange:
            return self._sent_once(one, facts, deadline, note_sent)

        return self._pools.sent(request, deadline, send)

    def probe(self, url: Url, patience: float) -> int:
        """Ask for the URL on the operator's behalf; gives the status, raises what send() does."""
        request, facts = Request("GET", url), Facts()
        exchange = self._sent_once(request, facts, clock.steady() + patience, lambda: None)
        exchange.close()
        return exchange.head.status

    def _sent_once(
        self, request: Request, facts: Facts, deadline: float | None, note_sent: NoteSent
    ) -> Exchange:
        """Send the request to its own URL, over a kept connection or a new one."""
        hop = self._next_hops.of(request)
        literal = self._admitted_literal(hop, request)
        kept = self._kept(hop, request)
        if kept is not None:
            note_sent()
            try:
                return self._exchange(kept, request, facts, literal, deadline)
            except ClosedWhileIdle as error:
                if not is_repeatable(request):
                    text = f"{request.url.authority} closed the connection that was logged in"
                    raise UpstreamUnreachable(text, "connection_terminated") from error
                # On a new one, where an error is final: it may be the request that the origin falls over.
        connection = self._dialler.connect(hop, request.client, deadline)
        note_sent()
        return self._exchange(connection, request, facts, literal, deadline)

    def upgrade(self, request: Request, protocols: str, facts: Facts) -> Exchange | Switched:
        """Send a request to switch to one of the protocols, on a connection of its own.

        Raises what send() does.
        """
        self.refuse_loop(request)
        self._refuse_offline(f"{request.url} cannot switch to {protocols}")

        def send(one: Request, note_sent: NoteSent) -> Exchange | Switched:
            return self._upgraded(one, protocols, facts, note_sent)

        return self._pools.sent(request, None, send)

    def _upgraded(
        self, request: Request, protocols: str, facts: Facts, note_sent: NoteSent
    ) -> Exchange | Switched:
        hop = self._next_hops.of(request)
        literal = self._admitted_literal(hop, request)
        connection = self._dialler.connect(hop, request.client, None, may_switch=True)
        note_sent()
        with ClosingOnErrors(connection, request.url.authority):
            with _broken_off_with_client(request, connection):
                self._set_silence(connection, request, None)
                if request.patience is not None:
                    connection.reader.deadline = clock.steady() + request.patience
                received = connection.ask(request, self._name, protocols)
                connection.reader.deadline = None
            if received.head.status == 101:
                _refuse_other(received.head, protocols)
                facts.note(OriginConnected(connection.peer, hop.through_parent))
                return Switched(received.head, connection)
            return self._received(connection, received, request, facts, literal)

    def tunnel(self, end: Authority, via: str, client: str, facts: Facts) -> FarEnd:
        """Open a tunnel to a host and port for the client (its IP address), which the caller has to close.

        `via` is the value of Via for the next proxy, up to the version that this proxy's name follows (RFC
        9110 section 7.6.3). Raises UpstreamUnreachable, UpstreamTimeout,
        RefusedByParent, Forbidden or LoopDetected.
        """
        self._refuse_loop(via, str(end))
        self._refuse_offline(f"there is no tunnel to {end}")
        hop = self._next_hops.of_tunnel(end)
        self._admitted_end(hop, client, end)
        connection = self._dialler.connect(hop, client, None, via)
        facts.note(OriginConnected(connection.peer, hop.through_parent))
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

    def _refuse_offline(self, what: str) -> None:
        if self._options.offline:
            raise Offline(f"{what}, and this cache is offline (fetch.offline)")

    def _refuse_loop(self, via: str, wanted: str) -> None:
        if any(member.split()[1:2] == [self._name] for member in via.split(",")):
            raise LoopDetected(f"{wanted} has been through this proxy already (Via)")

    def _admitted_literal(self, hop: NextHop, request: Request) -> str:
        end = request.destination or Authority(request.url.host, request.url.port)
        return self._admitted_end(hop, request.client, end)

    def _admitted_end(self, hop: NextHop, client: str, end: Authority) -> str:
        """The host if it is an IP address that is reached through the parent, after admitting it; else "".

        The parent resolves names, so only such an address can be checked.
        """
        literal = _literal_address(end.host) if hop.through_parent else ""
        if literal:
            self._admit(client, literal, end.port)
        return literal

    def _kept(self, hop: NextHop, request: Request) -> OriginConnection | None:
        """A kept connection that this request may use; None if there is none."""
        if request.logs_in:
            return _logged_in(request.login, hop)
        if not is_repeatable(request):  # a kept connection may fail, and the request would be sent again
            return None
        connection = self._idle.take(hop)
        if connection is not None and not hop.through_parent:
            try:
                self._admit(request.client, connection.peer, hop.port)
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
        with ClosingOnErrors(connection, request.url.authority):
            with _broken_off_with_client(request, connection):
                connection.reader.deadline = deadline
                self._set_silence(connection, request, None)
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
        peer = literal if connection.hop.through_parent else connection.peer
        self._set_silence(connection, request, received.head)
        keep = self._keep_for(request, received.head)
        return Exchange(connection, received, request.method, peer, facts, keep)

    def _keep_for(self, request: Request, head: Head) -> Callable[[OriginConnection], None] | None:
        """What keeps the connection for later requests, of this client only if it is logged in; or None."""
        if not request.logs_in:
            return None if head.logs_in else self._idle.put
        return None if request.login is None else partial(request.login.keep, request.url.origin)

    def _set_silence(self, connection: OriginConnection, request: Request, head: Head | None) -> None:
        """Set how long the connection waits for a byte of the body, or of the head if that is None."""
        own = request.silence if head is not None else request.patience or request.silence
        allowed = self._silence(request.url, head) if own is None else own
        connection.reader.silence = self._options.silence if allowed is None else allowed


def _authorized(request: Request, authorization: str) -> Request:
    """The request as it is sent with the cache's own credentials, "" for none."""
    if not authorization:
        return request
    return request.with_headers(request.headers.with_field("Authorization", authorization))


def _refuse_other(head: Head, protocols: str) -> None:
    """Raise UpstreamMalformed if the 101 switches to none of these (RFC 9110 section 7.8)."""
    # What follows the first lies above it.
    chosen = (head.headers.get("upgrade") or "").partition(",")[0]
    if chosen.strip().lower() not in (one.strip() for one in protocols.lower().split(",")):
        raise UpstreamMalformed("it switches to a protocol that nobody asked for")


def _logged_in(login: ConnectionLogin | None, hop: NextHop) -> OriginConnection | None:
    """The client's own connection, if it is still usable and has this next hop; else None."""
    connection: OriginConnection | None = None if login is None else login.take()
    if connection is None or (connection.hop == hop and connection.is_usable()):
        return connection
    connection.close()
    return None


def _broken_off_with_client(
    request: Request, connection: OriginConnection
) -> contextlib.AbstractContextManager[None]:
    """A context in which the connection is broken off when the client goes, if the request is safe."""
    if request.cancellation is None or not is_repeatable(request):
        return contextlib.nullcontext()
    return request.cancellation.tied(connection.break_off)


def _literal_address(host: str) -> str:
    """The IP address if the host is one, in any notation; "" for a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return ""
    return str(found[0][4][0])
