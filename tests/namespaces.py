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
def host(name: str) -> Iterator[Elsewhere]:
    """Another host, without a link yet; skips the test where there can be none."""
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace can be made here: {getattr(error, 'stderr', error)}")
    try:
        ip("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        ip("netns", "delete", name)
        pytest.skip(f"no network namespace can be entered here: {error.stderr}")
    try:
        made = Elsewhere(name)
        yield made
        made.close()
    finally:
        ip("netns", "delete", name)


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """The other host for as long as the context lasts; skips the test where namespaces cannot be made."""
    name, link, inside = f"proxy-{os.getpid()}", f"px{os.getpid()}", f"pi{os.getpid()}"
    with host(name) as other:
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        give_addresses((), link, HERE, HERE6)
        give_addresses(("-n", name), "eth0", THERE, THERE6)
        ip("link", "add", inside, "type", "veth", "peer", "name", "eth1", "netns", name)
        ip("address", "add", f"{INSIDE}/32", "dev", inside)
        ip("link", "set", inside, "up")
        yield other


def give_addresses(where: tuple[str, ...], device: str, *addresses: str) -> None:
    """Give the interface these addresses, on the host that the first arguments of `ip` name."""
    for address in addresses:
        plain = (f"{address}/64", "nodad") if ":" in address else (f"{address}/24",)
        ip(*where, "address", "add", *plain, "dev", device)
    ip(*where, "link", "set", device, "up")


def ip(*arguments: str) -> None:
    """Run the command `ip`; raises CalledProcessError."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)
