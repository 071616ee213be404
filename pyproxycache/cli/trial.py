"""What a configuration names is tried before it is adopted: the store, the log, the CA file, the names."""

from __future__ import annotations

import socket
from collections.abc import Callable

from pyproxycache.config import Config
from pyproxycache.errors import ConfigError, ProxyError
from pyproxycache.front.processes.unix_sockets import check_is_free
from pyproxycache.report.sinks import sink
from pyproxycache.upstream.dialling import tls_context
from pyproxycache.wiring import listen_addresses, mend_store


def try_out(config: Config, *, listens: bool) -> Config:
    """The configuration, once all that it names is known to work; with `listens` its addresses too.

    Raises ConfigError with a line for each thing that does not.
    """
    trials: list[Callable[[Config], None]] = [_try_log, _try_authorities, _try_store]
    lines = _listening_problems(config) if listens else _name_problems(config)
    for trial in trials:
        try:
            trial(config)
        except (ConfigError, ProxyError) as error:
            lines.append(str(error))
        except OSError as error:
            lines.append(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    if lines:
        raise ConfigError("\n".join(lines))
    return config


def _try_store(config: Config) -> None:
    mend_store(config.store)


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
    tls_context(config.fetch)


def _name_problems(config: Config) -> list[str]:
    """Host names to listen on that stand for no address."""
    problems = []
    for address in config.listen:
        try:
            listen_addresses((address,))
        except OSError as error:
            problems.append(f"cannot listen on {address}: {error.strerror}")
    return problems


def _listening_problems(config: Config) -> list[str]:
    """Addresses that cannot be had: told at once, rather than after seconds of tries."""
    problems = []
    for address in config.listen:
        try:
            if address.startswith("unix:"):
                check_is_free(address.removeprefix("unix:"))
            for host, port in listen_addresses((address,)):
                _bind(host, port)
        except OSError as error:
            problems.append(f"cannot listen on {address}: {error.strerror}; choose another with --listen")
    return problems


def _bind(host: str, port: int) -> None:
    """Bound, not listening: no client must take the trial for the server. Raises OSError."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
