"""Where a connection was made to; what NAT and TPROXY make of it is in the tests of the whole server."""

from __future__ import annotations

import os
import socket

import pytest

from pyproxycache.net.original_destination import accept_for_all, original_destination
from pyproxycache.url import Authority


@pytest.mark.parametrize(
    ("listening", "named", "known"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2", "127.0.0.2"),
        ("::1", "::1", "::1"),
        ("::", "::1", "::1"),
        ("::", "127.0.0.3", "127.0.0.3"),
        ("::", "::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
def test_without_a_redirection_it_is_the_socket_s_own_address(
    listening: str, named: str, known: str
) -> None:
    family = socket.AF_INET6 if ":" in listening else socket.AF_INET
    with socket.create_server((listening, 0), family=family, dualstack_ipv6=listening == "::") as listener:
        port = listener.getsockname()[1]
        client = socket.socket(socket.AF_INET6 if ":" in named else socket.AF_INET)
        with client:
            client.connect((named, port))
            with listener.accept()[0] as accepted:
                assert original_destination(accepted) == Authority(known, port)


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may let a socket accept connections to all addresses"
)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_socket_that_accepts_for_all_needs_no_second_permission(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        accept_for_all(listener)
        os.seteuid(65534)
        try:
            accept_for_all(listener)
            with socket.create_server((address, 0), family=family) as other, pytest.raises(PermissionError):
                accept_for_all(other)
        finally:
            os.seteuid(0)
