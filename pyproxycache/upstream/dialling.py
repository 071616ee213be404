"""Makes new connections, to admitted addresses, directly or through the parent, with TLS for https."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Sequence

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.errors import (
    ConfigError,
    LoopDetected,
    ProxyError,
    RefusedByParent,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
    reason,
)
from pyproxycache.http1.response_heads import Heads
from pyproxycache.messages import Authority, Head
from pyproxycache.net.descriptors import make_sure_of
from pyproxycache.net.names import Address, Names
from pyproxycache.net.one_client import client_of
from pyproxycache.net.racing import Suspects, race
from pyproxycache.net.reader import Reader
from pyproxycache.options import FetchOptions
from pyproxycache.upstream.connection import OriginConnection, Route

Admit = Callable[[str, str, int], None]
"""Raises Forbidden or LoopDetected if a client (its IP address) may not reach an address and port."""

_CONNECTING: dict[int | None, str] = {
    errno.ECONNREFUSED: "connection_refused",
    errno.ECONNRESET: "connection_terminated",
    errno.EHOSTUNREACH: "destination_ip_unroutable",
    errno.ENETUNREACH: "destination_ip_unroutable",
}

_FOR_A_CONNECTION = 2  # descriptors: addresses may be raced


class Dialler:
    """Makes connections to origins; each goes to an address of its host that `admit` allows.

    `name` is this proxy's in Via, `authorization` the Proxy-Authorization for the parent, "" for none.
    Raises ConfigError if the CA file cannot be used.
    """

    def __init__(self, options: FetchOptions, admit: Admit, name: str, authorization: str) -> None:
        self._options = options
        self._admit = admit
        self._name = name
        self._authorization = authorization
        self._names = Names()
        self._suspects = Suspects()
        self._tls = tls_context(options)
        self._tls.set_alpn_protocols(["http/1.1"])
        # A body may end with the connection: a missing TLS closing message has to be an error then.
        self._tls.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        if not options.tls_verify:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE

    def connect(
        self, route: Route, client: str, deadline: float | None, via: str = "1.1"
    ) -> OriginConnection:
        """Make a connection for the client (its IP address), before the deadline (monotonic) if any.

        `via` is the value of Via in a CONNECT to the parent, up to this proxy's name. Raises
        UpstreamUnreachable, UpstreamTimeout, RefusedByParent, Forbidden or LoopDetected.
        """
        with Blocking():
            return self._connected(route, client, deadline, via)

    def _connected(self, route: Route, client: str, deadline: float | None, via: str) -> OriginConnection:
        make_sure_of(_FOR_A_CONNECTION)
        limit = clock.steady() + self._options.connect_timeout
        deadline = limit if deadline is None else min(limit, deadline)
        addresses = self._admitted(route, client, deadline)
        while True:
            address, sock, addresses = self._dial(route, addresses, deadline)
            # An address that accepts and is silent then leaves half of the time to the others.
            ends = (clock.steady() + deadline) / 2 if addresses else deadline
            try:
                sock, early = self._opened(sock, route, ends, via)
            except RefusedByParent:
                raise
            except UpstreamError:
                self._suspects.note([address])
                if not addresses:
                    raise
            else:
                self._suspects.clear(address)
                options = self._options
                return OriginConnection(
                    sock,
                    route,
                    address.host,
                    options.silence,
                    options.head_timeout,
                    early,
                    self._authorization if route.through_parent else "",
                )

    def _admitted(self, route: Route, client: str, deadline: float) -> list[Address]:
        """The addresses of the route's host that the client may reach, in the order to try them.

        Raises Forbidden or LoopDetected if there are none.
        """
        found = self._names.addresses(route.host, route.port, deadline, client_of(client))
        if route.through_parent:  # the operator chose it
            return self._suspects.last(found)
        admitted: list[Address] = []
        refusals: list[ProxyError] = []
        for address in found:
            try:
                self._admit(client, address.host, route.port)
                admitted.append(address)
            except ProxyError as refusal:
                refusals.append(refusal.with_traceback(None))
        if not admitted:
            raise refusals.pop()  # popped, as a frame that keeps its own error is a reference cycle
        return self._suspects.last(admitted)

    def _dial(
        self, route: Route, addresses: Sequence[Address], deadline: float
    ) -> tuple[Address, socket.socket, list[Address]]:
        """The first address that accepts, its connected socket, and the addresses left to try."""
        raced = race(addresses, deadline)
        self._suspects.note(raced.failed)
        if raced.winner is not None:
            address, sock = raced.winner
            return address, sock, [a for a in addresses if a not in raced.failed and a != address]
        self._names.forget(route.host, route.port)
        host, port = route.host, route.port
        for error in raced.failed.values():
            if not isinstance(error, TimeoutError):
                text = f"no connection to {host}:{port}: {error.strerror or error}"
                raise UpstreamUnreachable(text, _CONNECTING.get(error.errno)) from error
        raise UpstreamTimeout(
            f"no connection to {host}:{port} in time (fetch.connect_timeout)", "connection_timeout"
        )

    def _opened(
        self, sock: socket.socket, route: Route, deadline: float, via: str
    ) -> tuple[socket.socket, bytes]:
        """The connected socket, after opening the parent's tunnel and TLS if the route has them.

        Returns the socket and the bytes that were read from it already.
        """
        sock.settimeout(max(0.001, deadline - clock.steady()))
        early = b""
        try:
            if route.tunnelled is not None:
                early = self._open_tunnel(sock, route.tunnelled, deadline, via)
                sock.settimeout(max(0.001, deadline - clock.steady()))
            if route.secured is None:
                return sock, early
            if early:
                text = f"the parent opens no tunnel to {route.secured}: it says more than it was asked"
                raise UpstreamUnreachable(text)
            return self._secured(sock, route.secured.host), b""
        except BaseException as error:
            sock.close()
            if isinstance(error, TimeoutError):
                text = f"{route.host}:{route.port} did not get further in time (fetch.connect_timeout)"
                raise UpstreamTimeout(text, "connection_timeout") from error
            if isinstance(error, OSError | ValueError):
                certificate = isinstance(error, ssl.SSLCertVerificationError)
                kind = "tls_certificate_error" if certificate else "tls_protocol_error"
                hint = " (fetch.ca_file names the authorities to trust)" if certificate else ""
                text = f"no TLS with {_far_end(route)}: {reason(error)}{hint}"
                raise UpstreamUnreachable(text, kind) from error
            raise

    def _open_tunnel(self, sock: socket.socket, end: Authority, deadline: float, via: str) -> bytes:
        """Have the parent open a tunnel (RFC 9110 section 9.3.6); returns bytes that came by it already."""
        lines = [f"CONNECT {end} HTTP/1.1", f"Host: {end}", f"Via: {via} {self._name}"]
        if self._authorization:
            lines.append(f"Proxy-Authorization: {self._authorization}")
        reader = Reader(sock, self._options.silence)
        reader.deadline = deadline
        try:
            sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            head = Heads(reader, self._options.head_timeout).final().head
        except TimeoutError:
            raise
        except (EOFError, OSError, UpstreamError) as error:
            raise UpstreamUnreachable(f"the parent opens no tunnel to {end}: {reason(error)}") from error
        if not 200 <= head.status < 300:
            raise _refusal(end, head)
        return reader.take_buffered()

    def _secured(self, sock: socket.socket, host: str) -> socket.socket:
        return self._tls.wrap_socket(
            sock, server_hostname=host.removesuffix("."), suppress_ragged_eofs=False
        )


def _far_end(route: Route) -> Authority:
    return route.secured or Authority(route.host, route.port)


def _refusal(end: Authority, head: Head) -> ProxyError:
    """The error for a CONNECT that the parent has answered with this head."""
    text = f"the parent opens no tunnel to {end}: {head.status} {head.reason}".rstrip()
    if head.status == 403:
        return RefusedByParent(text)
    if head.status == 508:
        return LoopDetected(text)
    if head.status == 504:
        return UpstreamTimeout(text, "connection_timeout")
    hint = " (parent.credentials)" if head.status == 407 else ""
    return UpstreamUnreachable(text + hint)


def tls_context(options: FetchOptions) -> ssl.SSLContext:
    """A TLS context that trusts the system's certificate authorities and those in `ca_file`.

    Raises ConfigError if the file cannot be used.
    """
    context = ssl.create_default_context()
    if options.ca_file is not None:
        try:
            context.load_verify_locations(options.ca_file)
        except OSError as error:
            what = "has no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
            raise ConfigError(f"fetch.ca_file: {options.ca_file}: {what}") from error
    return context
