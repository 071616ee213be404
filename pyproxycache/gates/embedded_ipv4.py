"""IPv4 addresses embedded in IPv6 ones, to which translators and tunnels forward."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network

_TRANSLATED = IPv6Network("64:ff9b::/96")
_TRANSLATED_LOCALLY = IPv6Network("64:ff9b:1::/48")
_SUFFIX = (1 << 40) - 1
_COMPATIBLE = IPv6Network("::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def embedded_addresses(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that packets to this IPv6 address may reach.

    By NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214), and as
    IPv4-compatible (RFC 4291 section 2.5.5.1) or IPv4-mapped addresses.
    """
    number = int(address)
    last = IPv4Address(number & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address in _TRANSLATED or (address in _COMPATIBLE and number > 1):
        yield last
    if address in _TRANSLATED_LOCALLY:
        # After a 48-bit prefix an octet divides the address, and zeros follow (RFC 6052 section 2.2).
        divided = IPv4Address((number >> 64 & 0xFFFF) << 16 | number >> 40 & 0xFFFF)
        yield last if number & _SUFFIX else divided
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if number >> 32 & 0xFFFFFFFF in _ISATAP:
        yield last
