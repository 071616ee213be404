"""Where a redirected connection was going before the kernel gave it to this machine."""

from __future__ import annotations

import socket
import struct

from pyproxycache.net.ip_addresses import shown_address
from pyproxycache.url import Authority

_ORIGINAL_DESTINATION = 80  # SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST (linux/netfilter_ipv4.h, _ipv6.h)
_TRANSPARENT6 = 75  # IPV6_TRANSPARENT (linux/in6.h)
# struct sockaddr_in, and struct sockaddr_in6 without its scope: all in the order of the network.
_IPV4, _IPV6 = struct.Struct("!2xH4s8x"), struct.Struct("!2xH4x16s4x")


def original_destination(sock: socket.socket) -> Authority:
    """The address and port that the client of an accepted TCP connection had connected to.

    That is what NAT (REDIRECT, DNAT) has noted of the connection, else the socket's own address: TPROXY
    leaves it as the client has it, and so does no redirection at all. Raises OSError if the client has gone
    already.
    """
    host, port, *_rest = sock.getsockname()
    address = shown_address(host)
    # An IPv4 client of a socket for both is IPv4 to NAT, too.
    is_v6 = address.version == 6
    level, form = (socket.IPPROTO_IPV6, _IPV6) if is_v6 else (socket.SOL_IP, _IPV4)
    try:
        noted = sock.getsockopt(level, _ORIGINAL_DESTINATION, form.size)
    except OSError:  # NAT knows nothing of it, or there is none
        return Authority(str(address), port)
    port, packed = form.unpack(noted)
    return Authority(socket.inet_ntop(socket.AF_INET6 if is_v6 else socket.AF_INET, packed), port)


def accept_for_all(listener: socket.socket) -> None:
    """Let the listening socket accept connections to addresses that are not this machine's (TPROXY).

    Raises PermissionError without CAP_NET_RAW or CAP_NET_ADMIN, unless it is so already.
    """
    is_v6 = listener.family == socket.AF_INET6
    option = (socket.IPPROTO_IPV6, _TRANSPARENT6) if is_v6 else (socket.SOL_IP, socket.IP_TRANSPARENT)
    if not listener.getsockopt(*option):
        listener.setsockopt(*option, 1)
