"""Whose the other end of a connection is: asked of the kernel, and read in its list."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyproxycache.net.socket_owner import FindOwner, asked_owner, listed_owner, peer_owner, usable_way

NOBODY = 65534
AS_NOBODY = """
import encodings.idna, os, socket, sys
os.setuid(int(sys.argv[3]))
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sock.sendall(b"x")
sys.stdin.read()
"""


@pytest.fixture(params=[asked_owner, listed_owner], ids=["asked", "listed"])
def find(request: pytest.FixtureRequest) -> FindOwner:
    """Both ways to find an owner: by a question, and in a list where the kernel takes no questions."""
    way: FindOwner = request.param
    if way is asked_owner and usable_way() is not asked_owner:
        pytest.skip("this kernel takes no questions about sockets")
    return way


@contextlib.contextmanager
def connected(listening: str, peer: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection: the client's end, and the accepted one."""
    family = socket.AF_INET6 if ":" in listening else socket.AF_INET
    dual = listening == "::"
    with socket.create_server((listening, 0), family=family, dualstack_ipv6=dual) as listener:
        client = socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET)
        with client:
            client.connect((peer, listener.getsockname()[1]))
            with listener.accept()[0] as accepted:
                yield client, accepted


@pytest.mark.parametrize(
    ("listening", "peer"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("::", "127.0.0.1"),
        ("::", "::1"),
        ("::", "::ffff:127.0.0.1"),
        ("127.0.0.1", "::ffff:127.0.0.1"),
    ],
)
def test_the_owner_is_known_while_its_end_is_open(listening: str, peer: str, find: FindOwner) -> None:
    with connected(listening, peer) as (client, accepted):
        assert peer_owner(accepted, find) == os.geteuid()
        client.shutdown(socket.SHUT_WR)
        assert peer_owner(accepted, find) == os.geteuid()
        client.close()
        assert peer_owner(accepted, find) is None


def test_a_listener_on_the_port_of_a_peer_that_has_gone_is_not_taken_for_it(find: FindOwner) -> None:
    with connected("127.0.0.1", "127.0.0.1") as (client, accepted):
        port = client.getsockname()[1]
        client.close()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                other.bind(("0.0.0.0", port))
                other.listen()
            assert peer_owner(accepted, find) is None


def test_the_owner_on_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        client.connect(str(tmp_path / "socket"))
        with listener.accept()[0] as accepted:
            assert peer_owner(accepted) == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program of another user")
def test_another_user_s_end(find: FindOwner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        arguments = [sys.executable, "-c", AS_NOBODY, host, str(port), str(NOBODY)]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE) as other, listener.accept()[0] as accepted:
            assert accepted.recv(1) == b"x"
            assert peer_owner(accepted, find) == NOBODY
            other.communicate()
