"""Who may ask, and what they may reach behind the proxy."""

from __future__ import annotations

import contextlib
import errno
import functools
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from pyproxycache.errors import Forbidden, LoopDetected
from pyproxycache.options import GuardOptions

Networks = tuple[IPv4Network | IPv6Network, ...]


class Access:
    """The networks whose clients are answered; `key` is the configuration's name for them."""

    def __init__(self, allow: Networks, key: str = "allow") -> None:
        self._allow = allow
        self._key = key

    def admits(self, client: str) -> bool:
        """Whether the client is of one of them."""
        return _within(_address(client), self._allow)

    def check(self, client: str) -> None:
        """Raises Forbidden for a client from elsewhere."""
        if not self.admits(client):
            raise Forbidden(
                f"{client} is not among the networks whose request this cache answers: its operator can "
                f"add it to '{self._key}'"
            )


class Guard:
    """Keeps clients elsewhere from reaching inward, and everyone from reaching this proxy itself."""

    def __init__(self, options: GuardOptions, listening: Iterable[tuple[str, int]]) -> None:
        self._options = options
        self._listening = tuple(listening)

    def admit(self, client: str, address: str, port: int) -> None:
        """Raises LoopDetected or Forbidden before a connection to the address is made."""
        if any(port == own_port and _is_ours(address, own) for own, own_port in self._listening):
            raise LoopDetected(f"{address} port {port} is this proxy itself")
        self.admit_peer(client, address)

    def admit_peer(self, client: str, address: str) -> None:
        """Raises Forbidden where the client must not see what comes from the address ("": a parent's)."""
        if not is_local(client) and self.is_inward(address):
            raise Forbidden(
                f"{address} is inside the cache's own machine or network, which clients elsewhere do not "
                "reach: its operator can add it to 'guard.permit'",
                "destination_ip_prohibited",
            )

    def is_inward(self, address: str) -> bool:
        """Whether only clients on this machine may see what comes from the address."""
        if not address:
            return False
        inward = _address(address)
        return _within(inward, self._options.deny) and not _within(inward, self._options.permit)


def is_local(client: str) -> bool:
    """Whether the client is on this machine."""
    return _address(client).is_loopback


@functools.lru_cache(4096)
def _address(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    # A dual-stack socket shows IPv4 peers this way; they are the same hosts.
    return getattr(address, "ipv4_mapped", None) or address


def _within(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _is_ours(address: str, listening: str) -> bool:
    """Whether a listener on `listening` gets what is sent to the address."""
    own, target = _address(listening), _address(address)
    if target.is_unspecified:
        # Connecting to "any address" is connecting to loopback.
        target = ip_address("127.0.0.1" if target.version == 4 else "::1")
    if not own.is_unspecified:
        return own == target
    # An IPv6 listener on all addresses gets IPv4 too.
    return own.version >= target.version and _is_local(target)


def _is_local(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address is one of this machine's: only those can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
        return True
