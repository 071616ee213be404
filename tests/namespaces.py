"""A host elsewhere on the network: a namespace that reaches this machine over a pair of interfaces."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

Result = TypeVar("Result")

HERE, HERE6 = "10.213.77.1", "fd77:213::1"
INSIDE = "10.213.78.1"
THERE, THERE6 = "10.213.77.2", "fd77:213::2"
NETWORK, NETWORK6 = "10.213.77.0/24", "fd77:213::/64"
"""This machine's addresses on the link and on another interface, those of the other host, the networks."""

_NEW_NETWORK = 0x40000000


class Elsewhere:
    """Runs functions whose sockets are those of the other host."""

    def __init__(self, name: str) -> None:
        self._name = name
        # A namespace is a thread's: one thread goes there and stays.
        self._thread = ThreadPoolExecutor(1, initializer=self._enter)

    def call(self, function: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """The function's result, its connections being made from there."""
        return self._thread.submit(function, *arguments, **options).result(60.0)

    def close(self) -> None:
        self._thread.shutdown()

    def _enter(self) -> None:
        descriptor = os.open(f"/run/netns/{self._name}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """The other host for as long as the context lasts; skips the test where namespaces cannot be made."""
    name, link, inside = f"proxy-{os.getpid()}", f"px{os.getpid()}", f"pi{os.getpid()}"
    there = ("-n", name)
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace can be made here: {getattr(error, 'stderr', error)}")
    try:
        _ip(*there, "link")
    except subprocess.CalledProcessError as error:
        _ip("netns", "delete", name)
        pytest.skip(f"no network namespace can be entered here: {error.stderr}")
    try:
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        for command, device, addresses in (((), link, (HERE, HERE6)), (there, "eth0", (THERE, THERE6))):
            _ip(*command, "address", "add", f"{addresses[0]}/24", "dev", device)
            _ip(*command, "address", "add", f"{addresses[1]}/64", "dev", device, "nodad")
            _ip(*command, "link", "set", device, "up")
        _ip("link", "add", inside, "type", "veth", "peer", "name", "eth1", "netns", name)
        _ip("address", "add", f"{INSIDE}/32", "dev", inside)
        _ip("link", "set", inside, "up")
        host = Elsewhere(name)
        yield host
        host.close()
    finally:
        _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)
