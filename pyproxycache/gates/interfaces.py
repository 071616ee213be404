"""This machine's own IP addresses, and the interfaces that have them."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import logging
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from pyproxycache import clock
from pyproxycache.net.descriptors import opened

log = logging.getLogger("pyproxycache")

_REMEMBERED_SECONDS = 10.0
_ANY_PORT = 9

# rtnetlink(7): message header, address message, and attribute header, which begins with a length.
_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_GET_ADDRESSES, _NEW_ADDRESS = 22, 20
_LAST = {2, 3}  # an error, or the end of the list, which may be in one packet with addresses
_REQUEST_DUMP = 0x301
_AT_OTHER_END, _HERE = 1, 2
_READ_SIZE = 64 << 10


class OwnAddresses:
    """This machine's addresses and their interfaces, asked of the kernel every ten seconds at most.

    If it cannot be asked, as without a free descriptor, the last answer stays in force: using up
    descriptors must not open the guard. Both fields are replaced as a whole, and need no lock.
    """

    def __init__(self) -> None:
        self._known: dict[str, frozenset[int]] = {}
        self._good_until = float("-inf")

    def at(self, now: float) -> dict[str, frozenset[int]]:
        """The interfaces of each address at `now` (monotonic), or at most ten seconds before."""
        if now >= self._good_until:
            try:
                self._known = _ask_kernel()
            except OSError as error:
                log.warning("this machine's own addresses are guarded as they were known last: %s", error)
            self._good_until = now + _REMEMBERED_SECONDS
        return self._known


_own = OwnAddresses()


def interfaces_of(address: IPv4Address | IPv6Address) -> frozenset[int]:
    """The numbers of the interfaces that have the address; empty if this machine does not have it."""
    return _own.at(clock.steady()).get(str(address), frozenset())


def interfaces_towards(address: IPv4Address | IPv6Address) -> frozenset[int]:
    """The numbers of the interfaces over which this machine would send to the address."""
    return _towards(address, int(clock.steady() / _REMEMBERED_SECONDS))


@functools.lru_cache(1024)
def _towards(address: IPv4Address | IPv6Address, _now: int) -> frozenset[int]:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.closing(opened(lambda: socket.socket(family, socket.SOCK_DGRAM))) as probe:
        try:
            probe.connect((str(address), _ANY_PORT))  # with UDP this sends nothing
        except OSError:
            return frozenset()
        name = probe.getsockname()[0].partition("%")[0]
    return _own.at(clock.steady()).get(name, frozenset())


def _ask_kernel() -> dict[str, frozenset[int]]:
    """The interfaces of each address, by rtnetlink; raises OSError."""
    found: dict[str, set[int]] = {}
    with opened(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)) as kernel:
        asked = bytes(_ADDRESS.size)  # of any family, on any interface
        kernel.settimeout(1.0)
        kernel.send(_HEADER.pack(_HEADER.size + len(asked), _GET_ADDRESSES, _REQUEST_DUMP, 1, 0) + asked)
        for kind, message in _messages(kernel):
            if kind == _NEW_ADDRESS:
                family, _prefix, _flags, _scope, interface = _ADDRESS.unpack_from(message)
                text = _own_address(message[_ADDRESS.size :], family)
                found.setdefault(text, set()).add(interface)
    return {text: frozenset(interfaces) for text, interfaces in found.items()}


def _messages(kernel: socket.socket) -> Iterator[tuple[int, bytes]]:
    """The kind and the content of each message, up to the one that ends the list."""
    while True:
        data = kernel.recv(_READ_SIZE)
        while len(data) >= _HEADER.size:
            length, kind, _flags, _sequence, _process = _HEADER.unpack_from(data)
            if kind in _LAST:
                return
            yield kind, data[_HEADER.size : length]
            data = data[max(_padded(length), _HEADER.size) :]


def _own_address(attributes: bytes, family: int) -> str:
    """This machine's address out of the attributes; on a point-to-point link they have the peer's too."""
    raw = dict(_attributes(attributes))
    packed = raw.get(_HERE) or raw.get(_AT_OTHER_END) or b""
    return str(ipaddress.ip_address(packed)) if family in (socket.AF_INET, socket.AF_INET6) else ""


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[max(_padded(length), _ATTRIBUTE.size) :]


def _padded(length: int) -> int:
    return (length + 3) & ~3
