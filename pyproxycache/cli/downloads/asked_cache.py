"""Which cache a command asks, and what is known of its mirrors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click

from pyproxycache.cli.address import CacheAddress, cache_url, usable_address, usable_listener
from pyproxycache.cli.common import PROBLEMS, WRONG_USAGE, fail, flag_or_variable, load_config
from pyproxycache.cli.downloads.outcomes import plain
from pyproxycache.cli.running import running
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import parse
from pyproxycache.errors import ConfigError
from pyproxycache.tls.tls_files import first_certificate

_LISTEN, _UPSTREAM = "PYPROXYCACHE_LISTEN", "PYPROXYCACHE_UPSTREAM"


def proxy_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --proxy."""
    return click.option(
        "--proxy",
        metavar="ADDR",
        envvar="PYPROXYCACHE_PROXY",
        help="Where the cache listens, as in cache:3128.  [default: as configured]",
    )(command)


def jobs_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --jobs."""
    return click.option(
        "-j", "--jobs", type=click.IntRange(min=1), default=4, show_default=True, help="How many at a time."
    )(command)


def asked_cache(proxy: str | None, config_file: Path | None) -> CacheAddress:
    """The cache to ask; ends the command if there is no such address."""
    if proxy is None or config_file is not None:
        flags: dict[str, object] = {"listen": tuple(os.environ.get(_LISTEN, "").split())}
        flags["upstream"] = os.environ.get(_UPSTREAM) or None
        config = load_config(config_file, flags, {"listen": _LISTEN, "upstream": _UPSTREAM})
        if proxy is None:
            listener = usable_listener(config.listen)
            address = usable_address((listener.address,))
            if address is None:
                fail("the cache listens on Unix sockets only, which fetch cannot ask", PROBLEMS)
            fingerprint = None if listener.tls is None else _fingerprint(listener.tls.certificate)
            for _host, path, _route in config.all_routes():
                own = f"{listener.scheme}://{address}{path}"
                fail(f"a gateway fetches no URLs: ask it by its own address, as in curl {own}", PROBLEMS)
            return CacheAddress(f"{listener.scheme}://{address}", config.upstream, fingerprint)
    try:
        return CacheAddress(cache_url(proxy), config.upstream if config_file is not None else None)
    except ValueError as error:
        fail(f"{flag_or_variable('--proxy')}: {error}", WRONG_USAGE)


def _fingerprint(path: Path) -> str:
    """The fingerprint of the file's first certificate; ends the command if there is none."""
    try:
        certificate = first_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        fail(f"{path}, the cache's certificate, cannot be read: {plain(error)}", PROBLEMS)
    return hashlib.sha256(certificate).hexdigest()


def mirrors_of(proxy: str | None, config_file: Path | None) -> Config | None:
    """The configuration of the cache, for its mirrors; None for one of which only the address is told.

    That of a server that runs counts before that of the file.
    """
    if proxy is not None and config_file is None:
        return None
    config = load_config(config_file, {})
    try:
        found = running(config.store.path)
        return config if found is None else parse(found, "the server's configuration")
    except (OSError, ConfigError):
        return config


def check_mirror(config: Config | None, name: str | None, ecosystems: Collection[str] = ()) -> None:
    """End the command if the mirror is not in the configuration, or has packages of none of the ecosystems.

    None: there is no name, or nothing is known of mirrors, as also where the configuration has none: it may
    be one for this command alone. No ecosystems: any will do.
    """
    if config is None or not config.mirrors or name is None:
        return
    mirror = config.mirrors.get(name)
    if mirror is None:
        known = ", ".join(config.mirrors)
        fail(f"--mirror: there is no mirror {name!r}; in the configuration: {known}", WRONG_USAGE)
    if ecosystems and mirror.ecosystem not in (*ecosystems, "generic"):
        wanted = " or ".join(sorted(ecosystems))
        text = f"--mirror: {name!r} is a mirror of {mirror.ecosystem}, and what is wanted is of {wanted}"
        fail(text, WRONG_USAGE)
