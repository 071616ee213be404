"""IP addresses as sockets show them, and which of them count as one client in limits."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

_NETWORK_OF_ONE = 64
"""Bits of the IPv6 prefix that one customer is given: all addresses in it count as one client."""


def shown_address(text: str) -> IPv4Address | IPv6Address:
    """The address that a socket shows, without a zone, and as IPv4 if it is an IPv4-mapped one.

    Raises ValueError.
    """
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(1024)
def client_of(address: str) -> str:
    """The client that an IP address belongs to: the address or, for IPv6, its /64 prefix as a number."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(int(found) >> (128 - _NETWORK_OF_ONE))
    return address
