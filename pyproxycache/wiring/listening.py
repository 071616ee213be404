"""Finds the addresses that are listened on, and builds the guard that keeps clients from them."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from operator import attrgetter

from gunicorn import systemd
from msgspec.structs import replace

from pyproxycache.configuration.config import Config
from pyproxycache.errors import ConfigError
from pyproxycache.gates.access import Guard
from pyproxycache.options import GuardOptions, ListenerOptions, TransparentOptions
from pyproxycache.tls.server_tls import ServerTls
from pyproxycache.tls.tls_files import read_tls_files

_NAME_OF_OPERATOR = "admin"


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


def addresses_of_operator(activated: tuple[str, ...], names: str) -> tuple[str, ...]:
    """Those that are the operator's by the names of their sockets, which are as LISTEN_FDNAMES has them."""
    return tuple(
        address
        for address, name in zip(activated, names.split(":"), strict=False)
        if name == _NAME_OF_OPERATOR
    )


def with_activated(config: Config, activated: tuple[str, ...], of_operator: tuple[str, ...] = ()) -> Config:
    """The configuration with the service manager's sockets in place of what is to be listened on.

    The operator has those of `admin.listen`, and those that are named as its own. Raises ConfigError where
    TLS, redirected connections or the operator have an address that is none of theirs.
    """
    by_place = {_place_or_none(address): address for address in activated}
    found: dict[str, tuple[str, ...]] = {}
    problems = []
    for key in ("transparent.http", "transparent.https", "admin.listen"):
        addresses = attrgetter(key)(config)
        known = [by_place.get(_place_or_none(address)) for address in addresses]
        problems += [
            f"{key}: {address!r} is none of the service manager's sockets:"
            f" {', '.join(activated)} are accepted"
            for address, one in zip(addresses, known, strict=True)
            if one is None
        ]
        found[key] = tuple(filter(None, known))
    if problems:
        raise ConfigError("\n".join(problems))
    transparent = TransparentOptions(http=found["transparent.http"], https=found["transparent.https"])
    admin = replace(config.admin, listen=(*dict.fromkeys((*found["admin.listen"], *of_operator)),))
    others = tuple(
        address for address in activated if address not in (*transparent.addresses, *admin.listen)
    )
    if not others:
        raise ConfigError("listen: none of the service manager's sockets is left for other clients")
    return replace(config, transparent=transparent, admin=admin, listen=as_activated(config.listen, others))


def as_activated(
    listen: tuple[ListenerOptions, ...], activated: tuple[str, ...]
) -> tuple[ListenerOptions, ...]:
    """The listeners on the sockets of the service manager, with the TLS that `listen` has for each.

    Raises ConfigError where there is TLS for an address that is none of theirs, as a port that is to speak
    TLS would be plain.
    """
    by_place = {_place(address): ListenerOptions(address=address) for address in activated}
    problems = []
    for number, listener in enumerate(listen):
        if listener.tls is None:
            continue
        try:
            place = _place(listener.address)
        except OSError as error:
            problems.append(f"listen[{number}].address: {listener.address}: {error.strerror}")
            continue
        if place in by_place:
            by_place[place] = replace(by_place[place], tls=listener.tls)
        else:
            accepted = ", ".join(activated)
            problems.append(
                f"listen[{number}].address: {listener.address!r} is to speak TLS, and is none of the"
                f" service manager's sockets: {accepted} are accepted"
            )
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(by_place.values())


def _place(address: str) -> str | tuple[str, int]:
    """What is equal for one address written in several ways; raises OSError if a name stands for none."""
    found = next(iter(listen_addresses((address,))), None)
    return address if found is None else (str(ip_address(found[0])), found[1])


def _place_or_none(address: str) -> str | tuple[str, int] | None:
    try:
        return _place(address)
    except OSError:
        return None


def build_tls(config: Config) -> dict[str, ServerTls]:
    """Build the TLS of the listeners that have it, by their addresses; raises ConfigError."""
    return {
        listener.address: ServerTls(listener.tls, f"listen[{number}].tls")
        for number, listener in enumerate(config.listen)
        if listener.tls is not None
    }


def tls_problems(config: Config) -> list[str]:
    """A line for each file of the listeners' TLS that cannot be used."""
    problems = []
    for number, listener in enumerate(config.listen):
        if listener.tls is not None:
            try:
                read_tls_files(listener.tls, f"listen[{number}].tls")
            except ConfigError as error:
                problems += str(error).splitlines()
    return problems


def _address_of(fd: int) -> str:
    with socket.socket(fileno=os.dup(fd)) as listener:
        name = listener.getsockname()
    if not isinstance(name, tuple):
        return f"unix:{os.fsdecode(name)}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def build_guard(config: Config) -> Guard:
    """Build the guard, which decides the addresses that clients may reach."""
    # Behind a reverse proxy or gateway lies only what the operator chose, wherever that is.
    options = config.guard if config.is_forward else GuardOptions(deny=(), own_addresses=False)
    return Guard(options, listen_addresses(config.all_addresses))
