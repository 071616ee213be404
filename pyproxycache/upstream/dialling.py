"""Makes new connections, to admitted addresses, directly or through the parent, with TLS for https."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.errors import (
    ClientCertificateWanted,
    LoopDetected,
    ProxyError,
    RefusedByParent,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
    reason,
)
from pyproxycache.http1.response_heads import Heads
from pyproxycache.messages import Head
from pyproxycache.net.descriptors import make_sure_of
from pyproxycache.net.ip_addresses import client_of
from pyproxycache.net.layered_socket import LayeredSocket
from pyproxycache.net.names import Address, Names
from pyproxycache.net.racing import Suspects, race
from pyproxycache.net.reader import Reader
from pyproxycache.options import FetchOptions
from pyproxycache.upstream.connection import OriginConnection
from pyproxycache.upstream.next_hops import NextHop
from pyproxycache.upstream.origin_tls import OriginTls
from pyproxycache.url import Authority

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
    """

    def __init__(
        self,
        options: FetchOptions,
        tls: OriginTls,
        admit: Admit,
        name: str,
        authorization: str,
        names: Names,
    ) -> None:
        self._options = options
        self._admit = admit
        self._name = name
        self._authorization = authorization
        self._names = names
        self._suspects = Suspects()
        self._tls = tls

    def connect(
        self,
        hop: NextHop,
        client: str,
        deadline: float | None,
        via: str = "1.1",
        *,
        may_switch: bool = False,
    ) -> OriginConnection:
        """Make a connection for the client (its IP address), before the deadline (monotonic) if any.

        `via` is the value of Via in a CONNECT to the parent, up to this proxy's name. `may_switch`: it may
        become another protocol's. Raises UpstreamUnreachable, UpstreamTimeout, RefusedByParent,
        ClientCertificateWanted, Forbidden or LoopDetected.
        """
        with Blocking():
            return self._connected(hop, client, deadline, via, may_switch)

    def _connected(
        self, hop: NextHop, client: str, deadline: float | None, via: str, may_switch: bool
    ) -> OriginConnection:
        make_sure_of(_FOR_A_CONNECTION)
        limit = clock.steady() + self._options.connect_timeout
        deadline = limit if deadline is None else min(limit, deadline)
        addresses = self._admitted(hop, client, deadline)
        while True:
            address, sock, addresses = self._dial(hop, addresses, deadline)
            # An address that accepts and is silent then leaves half of the time to the others.
            ends = (clock.steady() + deadline) / 2 if addresses else deadline
            try:
                opened, early = self._opened(sock, hop, ends, via, may_switch)
            except (RefusedByParent, ClientCertificateWanted):
                raise
            except UpstreamError:
                self._suspects.note([address])
                if not addresses:
                    raise
            else:
                self._suspects.clear(address)
                options = self._options
                return OriginConnection(
                    opened,
                    hop,
                    address.host,
                    options.silence,
                    options.head_timeout,
                    early,
                    self._authorization if hop.through_parent else "",
                )

    def _admitted(self, hop: NextHop, client: str, deadline: float) -> list[Address]:
        """The addresses of the next hop's host that the client may reach, in the order to try them.

        Raises Forbidden or LoopDetected if there are none.
        """
        found = self._names.addresses(hop.host, hop.port, deadline, client_of(client))
        if hop.through_parent:  # the operator chose it
            return self._suspects.last(found)
        admitted: list[Address] = []
        refusals: list[ProxyError] = []
        for address in found:
            try:
                self._admit(client, address.host, hop.port)
                admitted.append(address)
            except ProxyError as refusal:
                refusals.append(refusal.with_traceback(None))
        if not admitted:
            raise refusals.pop()  # popped, as a frame that keeps its own error is a reference cycle
        return self._suspects.last(admitted)

    def _dial(
        self, hop: NextHop, addresses: Sequence[Address], deadline: float
    ) -> tuple[Address, socket.socket, list[Address]]:
        """The first address that accepts, its connected socket, and the addresses left to try."""
        raced = race(addresses, deadline)
        self._suspects.note(raced.failed)
        if raced.winner is not None:
            address, sock = raced.winner
            return address, sock, [a for a in addresses if a not in raced.failed and a != address]
        self._names.forget(hop.host, hop.port)
        host, port = hop.host, hop.port
        for error in raced.failed.values():
            if not isinstance(error, TimeoutError):
                text = f"no connection to {host}:{port}: {error.strerror or error}"
                raise UpstreamUnreachable(text, _CONNECTING.get(error.errno)) from error
        raise UpstreamTimeout(
            f"no connection to {host}:{port} in time (fetch.connect_timeout)", "connection_timeout"
        )

    def _opened(
        self, sock: socket.socket, hop: NextHop, deadline: float, via: str, may_switch: bool
    ) -> tuple[socket.socket | LayeredSocket, bytes]:
        """The connected socket, after opening the parent's tunnel and TLS if the hop has them.

        Returns the socket and the bytes that were read from it already.
        """
        sock.settimeout(max(0.001, deadline - clock.steady()))
        early = b""
        try:
            if hop.tunnelled is not None:
                early = self._open_tunnel(sock, hop.tunnelled, deadline, via)
                sock.settimeout(max(0.001, deadline - clock.steady()))
            if hop.secured is None:
                return sock, early
            if early:
                text = f"the parent opens no tunnel to {hop.secured}: it says more than it was asked"
                raise UpstreamUnreachable(text)
            return self._tls.secured(sock, hop.secured, is_layered=may_switch), b""
        except BaseException as error:
            sock.close()
            if isinstance(error, TimeoutError):
                text = f"{hop.host}:{hop.port} did not get further in time (fetch.connect_timeout)"
                raise UpstreamTimeout(text, "connection_timeout") from error
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
