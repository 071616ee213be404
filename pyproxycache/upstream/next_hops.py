"""Where requests go: to the origin, to the address that a client has connected to, or to the parent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

from pyproxycache.messages import Request
from pyproxycache.options import ParentOptions
from pyproxycache.url import Authority


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a connection leads: `host` and `port` to connect to, the parent's if `through_parent`.

    `tunnelled` is where the parent is asked for a tunnel to, None for requests that it reads itself.
    `secured` is the https origin at the connection's end, None for what is sent without TLS. `for_host` is
    the host that requests name if they go to a given address, as what is there may take all requests of a
    connection for those of one host; else "".
    """

    host: str
    port: int
    through_parent: bool = False
    tunnelled: Authority | None = None
    secured: Authority | None = None
    for_host: str = ""


class NextHops:
    """Finds the next hop of each request: through the parent, if there is one, with its exceptions."""

    def __init__(self, parent: ParentOptions | None) -> None:
        self._parent = parent

    def of(self, request: Request) -> NextHop:
        """The next hop to the origin, or to the address that the client has connected to."""
        url, destination = request.url, request.destination
        origin = Authority(url.host, url.port)
        secured = origin if url.scheme == "https" else None
        if destination is not None:
            return replace(self._to_address(url.host, destination), secured=secured)
        if secured is not None:
            return replace(self.of_tunnel(origin), secured=secured)
        return self._to(origin)

    def of_tunnel(self, end: Authority) -> NextHop:
        """The next hop to a host and port, by a tunnel if it leads through the parent."""
        hop = self._to(end)
        return replace(hop, tunnelled=end) if hop.through_parent else hop

    def _to_address(self, host: str, destination: Authority) -> NextHop:
        """The next hop to an address, whatever the host resolves to; a parent is asked for a tunnel."""
        if self._parent is not None and _is_excepted(host, self._parent):
            return NextHop(destination.host, destination.port, for_host=host)
        return replace(self.of_tunnel(destination), for_host=host)

    def _to(self, end: Authority) -> NextHop:
        if self._parent is None or _is_excepted(end.host, self._parent):
            return NextHop(end.host, end.port)
        return NextHop(self._parent.url.host, self._parent.url.port, through_parent=True)


def _is_excepted(host: str, parent: ParentOptions) -> bool:
    """Whether the host is reached without the parent."""
    host = host.removesuffix(".")
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
