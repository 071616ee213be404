"""Clients of redirected connections that are this machine itself, or this very proxy."""

from __future__ import annotations

import os
import socket
from typing import Any

from pyproxycache.gates.access import is_local
from pyproxycache.gates.interfaces import interfaces_of
from pyproxycache.net.ip_addresses import shown_address
from pyproxycache.net.socket_owner import peer_owner


def is_of_this_machine(sock: socket.socket) -> bool:
    """Whether the peer's address is this machine's own; a peer that has gone was of this machine, too."""
    try:
        address = shown_address(sock.getpeername()[0])
    except OSError:
        return True
    return is_local(str(address)) or bool(interfaces_of(address))


def client_address(sock: socket.socket, address: Any) -> Any:
    """The address of a redirected connection's client; one of loopback if that is this machine.

    Its connections are redirected to loopback, and keep the address of the interface that they would have
    left by. Other machines are not redirected there.
    """
    local = shown_address(sock.getsockname()[0])
    return (str(local), *address[1:]) if local.is_loopback and is_of_this_machine(sock) else address


def is_this_proxy(sock: socket.socket) -> bool:
    """Whether the peer is a program of the user who runs this proxy, as the proxy itself is."""
    try:
        return is_of_this_machine(sock) and peer_owner(sock) == os.geteuid()
    except OSError:  # the kernel does not tell
        return False
