"""The gates: which clients may ask (Access), and which addresses they may reach (Guard)."""

from __future__ import annotations

import contextlib
import errno
import functools
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from pyproxycache.errors import ClientNotAllowed, InwardAddress, LoopDetected
from pyproxycache.gates.embedded_ipv4 import embedded_addresses
from pyproxycache.gates.interfaces import interfaces_of, interfaces_towards
from pyproxycache.options import GuardOptions

Networks = tuple[IPv4Network | IPv6Network, ...]
Interfaces = Callable[[IPv4Address | IPv6Address], frozenset[int]]


class Access:
    """Admits the clients of some networks; `key` is their name in the configuration, for errors."""

    def __init__(self, allow: Networks, key: str = "allow") -> None:
        self._allow = allow
        self._key = key

    def admits(self, client: str) -> bool:
        """Whether the client (its IP address) is in one of the networks."""
        return _within(_address(client), self._allow)

    def check(self, client: str) -> None:
        """Raise Forbidden if the client is in none of the networks."""
        if not self.admits(client):
            raise ClientNotAllowed(
                f"{client} is not among the networks whose requests this cache takes: its operator can "
                f"add it to '{self._key}'"
            )


class Guard:
    """Keeps clients on other machines from inward addresses, and all clients from this proxy's own ports.

    `listening` are addresses and ports of the listeners. `interfaces_of` gives the interfaces of this
    machine that have an address, `interfaces_towards` those that lead to one.
    """

    def __init__(
        self,
        options: GuardOptions,
        listening: Iterable[tuple[str, int]],
        interfaces_of: Interfaces = interfaces_of,
        interfaces_towards: Interfaces = interfaces_towards,
    ) -> None:
        self._options = options
        self._listening = tuple(listening)
        self._interfaces_of = interfaces_of
        self._interfaces_towards = interfaces_towards

    def admit(self, client: str, address: str, port: int) -> None:
        """Raise LoopDetected or Forbidden if no connection to the address may be made for the client."""
        for own, own_port in self._listening:
            if port != own_port or not any(_is_ours(target, own) for target in _targets(address)):
                continue
            raise LoopDetected(
                f"{address} port {port} is this proxy itself: ask it directly, with its name in no_proxy"
            )
        self.admit_peer(client, address)

    def admit_peer(self, client: str, address: str) -> None:
        """Raise Forbidden if the client must not get what came from the address ("": from a parent)."""
        if not is_local(client) and address and self._is_forbidden(_address(client), address):
            raise InwardAddress(
                f"{address} is inside the cache's own machine or network, which clients elsewhere do not "
                "reach: its operator can add it to 'guard.permit'"
            )

    def is_inward(self, address: str) -> bool:
        """Whether some clients on other machines must not get what came from the address."""
        return bool(address) and (self._is_denied(address) or bool(self._own_interfaces(address)))

    def _is_forbidden(self, client: IPv4Address | IPv6Address, address: str) -> bool:
        """Whether the address is denied, or is this machine's on another interface than the client's."""
        if self._is_denied(address):
            return True
        own = self._own_interfaces(address)
        return bool(own) and own.isdisjoint(self._interfaces_towards(client))

    def _is_denied(self, address: str) -> bool:
        return not self._is_permitted(address) and any(
            _within(target, self._options.deny) for target in _targets(address)
        )

    def _own_interfaces(self, address: str) -> frozenset[int]:
        """The interfaces of this machine that have the address; empty if it is permitted anyway."""
        if self._is_permitted(address) or not self._options.own_addresses:
            return frozenset()
        return frozenset().union(*map(self._interfaces_of, _targets(address)))

    def _is_permitted(self, address: str) -> bool:
        """Whether `guard.permit` has the address, or all addresses that are embedded in it."""
        outer, *inner = (_within(target, self._options.permit) for target in _targets(address))
        return outer or (bool(inner) and all(inner))


def is_local(client: str) -> bool:
    """Whether the client is on this machine."""
    return _address(client).is_loopback


@functools.lru_cache(4096)
def _address(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    # A dual-stack socket shows IPv4 peers as IPv4-mapped IPv6 addresses.
    return getattr(address, "ipv4_mapped", None) or address


@functools.lru_cache(4096)
def _targets(text: str) -> tuple[IPv4Address | IPv6Address, ...]:
    """The address, and the IPv4 addresses to which translators may forward what is sent to it."""
    address = _address(text)
    return (address, *(embedded_addresses(address) if isinstance(address, IPv6Address) else ()))


def _within(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


def _is_ours(target: IPv4Address | IPv6Address, listening: str) -> bool:
    """Whether a listener on the address `listening` accepts connections to the target."""
    own = _address(listening)
    if target.is_unspecified:
        # Connecting to the unspecified address means connecting to loopback.
        target = ip_address("127.0.0.1" if target.version == 4 else "::1")
    if not own.is_unspecified:
        return own == target
    # An IPv6 listener on all addresses accepts IPv4 too.
    return own.version >= target.version and _is_local(target)


def _is_local(address: IPv4Address | IPv6Address) -> bool:
    """Whether this machine has the address, found out by binding a socket to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
        return True
