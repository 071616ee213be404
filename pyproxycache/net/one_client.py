"""Which addresses are one client, for what each client has a share of."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

_NETWORK_OF_ONE = 64
"""Bits of an IPv6 address that one customer is given: all addresses behind them are one client."""


def who(address: str) -> str:
    """The client whose address this is, for what each client has a share of."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(int(found) >> (128 - _NETWORK_OF_ONE))
    return address
