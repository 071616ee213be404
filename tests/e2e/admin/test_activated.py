"""Sockets of the service manager: one with the name `admin` is the operator's, and no client's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from asked_admin import Admin, reserved
from harness import Proxy
from waiting import until

TOOL = shutil.which("systemd-socket-activate")
pytestmark = pytest.mark.skipif(TOOL is None, reason="systemd-socket-activate is not installed")


@contextlib.contextmanager
def activated(folder: Path, *names: str) -> Iterator[tuple[Proxy, list[tuple[str, int]]]]:
    """A server that is given sockets of these names, and their addresses; it begins with a client."""
    with contextlib.ExitStack() as held:
        addresses = [held.enter_context(reserved()) for _ in names]
        proxy = Proxy(folder / "proxy")
        listening = [f"--listen={host}:{port}" for host, port in addresses]
        proxy.command = [str(TOOL), *listening, f"--fdname={':'.join(names)}", *proxy.command]
        proxy.address = addresses[0]
        yield held.enter_context(proxy), addresses


def test_a_socket_with_its_name_is_the_operators(tmp_path: Path) -> None:
    with activated(tmp_path, "pyproxycache.socket", "admin") as (proxy, (_clients, of_operator)):
        asked = Admin(proxy, of_operator)
        until(lambda: asked.ask("GET /health/ready").body == b"ok\n")
        assert b"pyproxycache_requests" in asked.ask("GET /metrics").body
        # What clients ask for is not answered there, nor what the operator does by the clients' socket.
        assert asked.ask("GET /api/v1/health/").status == 404
        assert asked.total("pyproxycache_workers") == 1
        assert proxy.get("/health/ready").status == 404
        before = set(proxy.worker_pids())
        os.kill(proxy.pid, signal.SIGHUP)
        until(lambda: before.isdisjoint(proxy.worker_pids()))
        assert asked.ask("GET /health/ready").body == b"ok\n"
        with pytest.raises(OSError, match="in use"), socket.socket() as other:
            other.bind(of_operator)
