"""Finds the addresses that are listened on, and builds the guard that keeps clients from them."""

from __future__ import annotations

import os
import socket

from gunicorn import systemd

from pyproxycache.configuration.config import Config
from pyproxycache.gates.access import Guard
from pyproxycache.options import GuardOptions


def listen_addresses(listen: tuple[str, ...]) -> list[tuple[str, int]]:
    """Address and port of each TCP listener; raises OSError where a name stands for none."""
    found = []
    for text in listen:
        if not text.startswith("unix:"):
            host, _, port = text.rpartition(":")
            # A name is bound as IPv4, an address stands for itself.
            address = host.strip("[]") if host.startswith("[") else socket.gethostbyname(host)
            found.append((address, int(port)))
    return found


def activated_addresses() -> tuple[str, ...]:
    """The addresses of the sockets that the service manager gives to this process, as `listen` has them."""
    first, count = systemd.SD_LISTEN_FDS_START, systemd.listen_fds(unset_environment=False)
    return tuple(map(_address_of, range(first, first + count)))


def _address_of(fd: int) -> str:
    with socket.socket(fileno=os.dup(fd)) as listener:
        name = listener.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{os.fsdecode(name)}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def build_guard(config: Config) -> Guard:
    """Build the guard, which decides the addresses that clients may reach."""
    # Behind a reverse proxy lies only what the operator chose, wherever that is.
    options = GuardOptions(deny=(), own_addresses=False) if config.upstream else config.guard
    return Guard(options, listen_addresses(config.listen))
