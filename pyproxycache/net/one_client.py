"""Which addresses count as one client, for limits that hold for each client."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

_NETWORK_OF_ONE = 64
"""Bits of the IPv6 prefix that one customer is given: all addresses in it count as one client."""


def client_of(address: str) -> str:
    """The client that an IP address belongs to: the address or, for IPv6, its /64 prefix as a number."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(int(found) >> (128 - _NETWORK_OF_ONE))
    return address
