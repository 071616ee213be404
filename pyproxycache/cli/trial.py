"""Tries a configuration before it is adopted: its folders, files and addresses have to work."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyproxycache.configuration.config import Config
from pyproxycache.errors import ConfigError, NoSpace, ProxyError
from pyproxycache.front.processes.unix_sockets import check_is_free
from pyproxycache.report.sinks import sink
from pyproxycache.store.files.footprint import Disk
from pyproxycache.units import format_count, format_size
from pyproxycache.upstream.origin_tls import OriginTls
from pyproxycache.wiring.credentials import parent_authorization, upstream_credentials
from pyproxycache.wiring.front import build_welcome
from pyproxycache.wiring.interception import build_leaf_tls
from pyproxycache.wiring.listening import listen_addresses, tls_problems
from pyproxycache.wiring.routes.introspection import try_token_gates
from pyproxycache.wiring.routes.surroundings import try_surroundings
from pyproxycache.wiring.stored import mend_store
from pyproxycache.wiring.users import build_authentication, users_file

_EMPTY_CACHE = 6 << 20
"""What its files take, at least, rounded up."""


def try_out(config: Config, *, listens: bool, stores: bool = True) -> Config:
    """Return the configuration if all that it names works; with `listens` its addresses are tried too.

    With `stores` there has to be room for a cache. Raises ConfigError with a line for each thing that does
    not work.
    """
    trials: list[Callable[[Config], None]] = [
        _try_log,
        _try_authorities,
        _try_parent,
        _try_credentials,
        try_token_gates,
        _try_users,
        _try_accounts,
        _try_interception,
        try_surroundings,
        _try_store if stores else _try_store_unless_full,
    ]
    lines = _listening_problems(config) if listens else _name_problems(config)
    lines += tls_problems(config)
    for trial in trials:
        try:
            trial(config)
        except (ConfigError, ProxyError) as error:
            lines.append(str(error))
        except OSError as error:
            lines.append(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    if lines:
        raise ConfigError("\n".join(dict.fromkeys(lines)))
    return config


def _try_store(config: Config) -> None:
    try:
        mend_store(config.store)
    except NoSpace as error:
        path = config.store.path
        raise ConfigError(
            f"{error}\nthe disk of {path} is full: {_free(path)} free, and an empty cache needs "
            f"{format_size(_EMPTY_CACHE)}; make room there, or name another folder with --cache-dir or "
            "store.path"
        ) from error


def _try_store_unless_full(config: Config) -> None:
    with suppress(NoSpace):
        mend_store(config.store)


def _free(path: Path) -> str:
    """What the disk of the path has free, be the path there or not."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    disk = Disk.of(there)
    files = f" and {format_count(disk.free_files, 'file')}" if disk.files else ""
    return f"{format_size(disk.free)}{files}"


def _try_log(config: Config) -> None:
    if config.log.access is not None:
        access_log = sink(config.log.access)
        try:
            access_log.open()
        except OSError as error:
            raise ConfigError(
                f"log.access: {error.filename or config.log.access}: {error.strerror}"
            ) from error
        access_log.close()


def _try_authorities(config: Config) -> None:
    OriginTls(config.fetch)


def _try_parent(config: Config) -> None:
    parent_authorization(config.parent)


def _try_credentials(config: Config) -> None:
    upstream_credentials(config.mirrors)


def _try_users(config: Config) -> None:
    file = users_file(config.proxy_auth)
    if config.proxy_auth is not None and file is not None:
        build_authentication(config.proxy_auth, file)


def _try_accounts(config: Config) -> None:
    build_welcome(config)


def _try_interception(config: Config) -> None:
    try:
        build_leaf_tls(config)
    except ConfigError as error:
        raise ConfigError(f"intercept.ca: {error}") from error


def _name_problems(config: Config) -> list[str]:
    """A line for each host name to listen on that has no address."""
    problems = []
    for address in config.all_addresses:
        try:
            listen_addresses((address,))
        except OSError as error:
            problems.append(f"cannot listen on {address}: {error.strerror}")
    return problems


def _listening_problems(config: Config) -> list[str]:
    """A line for each address that cannot be listened on; gunicorn would try for seconds."""
    problems = []
    for address in config.all_addresses:
        try:
            if address.startswith("unix:"):
                check_is_free(address.removeprefix("unix:"))
            for host, port in listen_addresses((address,)):
                _bind(host, port)
        except OSError as error:
            hint = " with --listen" if address in config.addresses else ""
            problems.append(f"cannot listen on {address}: {error.strerror}; choose another{hint}")
    return problems


def _bind(host: str, port: int) -> None:
    """Bind a socket to the address for a moment, without accepting connections. Raises OSError."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
