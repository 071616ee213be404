"""New connections: to an address that was admitted, through the parent, secured by TLS."""

from __future__ import annotations

import encodings.idna  # noqa: F401  (getaddrinfo would import it during the first request)
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

from pyproxycache import clock
from pyproxycache.errors import (
    ConfigError,
    ProxyError,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pyproxycache.options import FetchOptions
from pyproxycache.upstream.connection import Connection, Route
from pyproxycache.upstream.heads import Heads
from pyproxycache.upstream.reader import Reader

Admit = Callable[[str, str, int], None]
"""Client address, address and port to connect to; raises Forbidden or LoopDetected."""

_CONNECTING: dict[int | None, str] = {
    errno.ECONNREFUSED: "connection_refused",
    errno.ECONNRESET: "connection_terminated",
    errno.EHOSTUNREACH: "destination_ip_unroutable",
    errno.ENETUNREACH: "destination_ip_unroutable",
}


class Dialler:
    """Makes connections; each is dialled to an address of its host that `admit` has seen.

    Raises ConfigError where the CA file cannot be used. It adds to the system's authorities.
    """

    def __init__(self, options: FetchOptions, admit: Admit) -> None:
        self._options = options
        self._admit = admit
        self._tls = ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        # The end of a body may be the end of the connection: whether that was meant has to show.
        self._tls.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        if options.ca_file is not None:
            try:
                self._tls.load_verify_locations(options.ca_file)
            except OSError as error:
                raise ConfigError(f"fetch.ca_file: {options.ca_file}: {error.strerror or error}") from error
        if not options.tls_verify:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE

    def connect(self, route: Route, client: str, deadline: float | None) -> Connection:
        """A connection, before the deadline (monotonic) if there is one.

        Raises UpstreamUnreachable, UpstreamTimeout, Forbidden or LoopDetected.
        """
        limit = clock.steady() + self._options.connect_timeout
        deadline = limit if deadline is None else min(limit, deadline)
        sock, peer = self._dial(route, client, deadline)
        try:
            if route.secured is not None:
                sock.settimeout(max(0.001, deadline - clock.steady()))
                if route.through_parent:
                    self._open_tunnel(sock, *route.secured, deadline)
                sock = self._secured(sock, route.secured[0])
        except BaseException as error:
            sock.close()
            if isinstance(error, TimeoutError):
                text = f"{route.host}:{route.port} did not let us in in time"
                raise UpstreamTimeout(text, "connection_timeout") from error
            if isinstance(error, OSError | ValueError):
                certificate = isinstance(error, ssl.SSLCertVerificationError)
                kind = "tls_certificate_error" if certificate else "tls_protocol_error"
                raise UpstreamUnreachable(f"no TLS with {_far_end(route)}: {error}", kind) from error
            raise
        return Connection(sock, route, peer, self._options.silence, self._options.head_timeout)

    def _dial(self, route: Route, client: str, deadline: float) -> tuple[socket.socket, str]:
        """A socket connected to the first address that is admitted and accepts, and that address."""
        host, port = route.host, route.port
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise UpstreamUnreachable(f"the name {host} does not resolve: {error}", "dns_error") from error
        failure: ProxyError = UpstreamUnreachable(f"the name {host} has no address", "dns_error")
        for left, (family, kind, protocol, _name, where) in zip(
            range(len(found), 0, -1), found, strict=True
        ):
            address = str(where[0]).partition("%")[0]
            try:
                if not route.through_parent:  # which is the operator's choice
                    self._admit(client, address, port)
                # A silent address leaves the others their share of the time.
                share = max(0.001, (deadline - clock.steady()) / left)
                return _connected(socket.socket(family, kind, protocol), where, share), address
            except TimeoutError:
                failure = UpstreamTimeout(f"no connection to {host}:{port} in time", "connection_timeout")
            except OSError as error:
                text = f"no connection to {host}:{port}: {error.strerror or error}"
                failure = UpstreamUnreachable(text, _CONNECTING.get(error.errno))
            except ProxyError as error:
                failure = error
        try:
            raise failure
        finally:
            del failure  # which holds this frame, and would be held by it

    def _open_tunnel(self, sock: socket.socket, host: str, port: int, deadline: float) -> None:
        """Have the parent connect to the origin (RFC 9110 section 9.3.6)."""
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("ascii"))
        reader = Reader(sock, self._options.silence)
        reader.deadline = deadline
        try:
            head = Heads(reader, self._options.head_timeout).final().head
        except (EOFError, UpstreamError) as error:
            raise UpstreamUnreachable(f"the parent opens no tunnel to {authority}: {error}") from error
        if not 200 <= head.status < 300 or reader.is_ready():
            raise UpstreamUnreachable(
                f"the parent opens no tunnel to {authority}: {head.status} {head.reason}"
            )

    def _secured(self, sock: socket.socket, host: str) -> socket.socket:
        return self._tls.wrap_socket(
            sock, server_hostname=host.removesuffix("."), suppress_ragged_eofs=False
        )


def _connected(sock: socket.socket, where: Any, seconds: float) -> socket.socket:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(seconds)
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _far_end(route: Route) -> str:
    host, port = route.secured or (route.host, route.port)
    return f"{host}:{port}"
