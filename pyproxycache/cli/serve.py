"""The command `serve`: runs the proxy."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pyproxycache.cli.address import usable_address, usable_listener
from pyproxycache.cli.common import WRONG_USAGE, fail, given_by, server_options
from pyproxycache.cli.mirror.found_hosts import with_found_hosts
from pyproxycache.cli.running import Running
from pyproxycache.cli.trial import try_out
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import load
from pyproxycache.errors import ConfigError
from pyproxycache.mirrors.repositories import base_of
from pyproxycache.options import LOOPBACK, ListenerOptions
from pyproxycache.route_options.route import RouteOptions
from pyproxycache.units import format_size
from pyproxycache.wiring.listening import activated_addresses, addresses_of_operator, with_activated
from pyproxycache.wiring.logs import set_up_logging
from pyproxycache.wiring.server import build_server

log = logging.getLogger("pyproxycache")


@click.command()
@server_options
def serve(config_file: Path | None, flags: dict[str, Any]) -> None:
    """Run the proxy.

    SIGTERM ends it once running downloads have finished, Ctrl-C at once. SIGHUP has it read the
    configuration again.
    """
    names = given_by()
    set_up_logging("info")
    activated = activated_addresses()
    of_operator = addresses_of_operator(activated, os.environ.get("LISTEN_FDNAMES", ""))
    listens = not activated

    def load_usable() -> Config:
        nonlocal listens
        config = load(config_file, flags, names)
        if activated:
            config = with_activated(config, activated, of_operator)
        config, lines = with_found_hosts(config, os.environ)
        for line in (*lines, *_doubtful(config)):
            log.warning("%s", line)
        config = try_out(config, listens=listens)
        listens = False  # from now on the server itself has the addresses
        return config

    try:
        server = build_server(load_usable, Running().note, greet)
    except ConfigError as error:
        fail(str(error), WRONG_USAGE)
    server.run()


def _doubtful(config: Config) -> Iterator[str]:
    """Lines about settings that are accepted, and seldom meant."""
    for name, mirror in config.mirrors.items():
        for url in mirror.urls if mirror.ecosystem == "pypi" else ():
            if url.path.rstrip("/").endswith("/simple"):
                text = "ends with simple/, which clients add: leave it out, unless it is there twice"
                yield f"mirrors.{name}.upstream: {url} {text}"
    first: dict[str, str] = {}
    for name, mirror in config.mirrors.items():
        for url in mirror.urls:
            other = first.setdefault(f"{url.origin}{base_of(url.path)}", name)
            known = config.mirrors[other]
            if (known.ecosystem, known.verify) != (mirror.ecosystem, mirror.verify):
                text = f"is that of mirrors.{other}, too, whose ecosystem and verify count for its files"
                yield f"mirrors.{name}.upstream: {url} {text}"


def greet(config: Config) -> None:
    """Print greeting(); a server does not need standard output."""
    with contextlib.suppress(OSError):
        click.echo("\n".join(greeting(config)))


def _members_of(route: RouteOptions) -> str:
    return ", ".join(str(one.url) for one in route.members)


def greeting(config: Config) -> list[str]:
    """Lines that say where the server listens, where the cache is, and how to use it in a shell."""
    limit = format_size(config.store.max_size) if config.store.max_size is not None else "the disk's size"
    lines = [
        f"pyproxycache listens on {', '.join(map(_shown, config.listen))}",
        f"cache: {config.store.path} (up to {limit})",
    ]
    for scheme, addresses in (("http", config.transparent.http), ("https", config.transparent.https)):
        if addresses:
            lines.append(f"redirected {scheme} comes to {', '.join(addresses)}")
    if config.fetch.offline:
        lines.append("offline: what is stored answers at any age, the rest gets 504")
    if config.allow == LOOPBACK and any(map(_is_reached_from_elsewhere, config.all_addresses)):
        lines.append("clients: those on this machine alone; `allow` in the configuration is for others")
    if config.upstream:
        return [*lines, f"origin: {config.upstream}"]
    if routes := config.all_routes():
        return [*lines, *(f"route: {host}{path} to {_members_of(one)}" for host, path, one in routes)]
    listener = usable_listener(config.listen)
    address = usable_address((listener.address,))
    if config.proxy_auth is not None:
        begin = f"{listener.scheme}://USER:PASSWORD@"
        return lines if address is None else [*lines, _shell_line(begin, address)]
    if address is None:
        path = listener.address.removeprefix("unix:")
        return [*lines, f"use it:  curl --unix-socket {path} {listener.scheme}://cache/https://HOST/PATH"]
    if config.mirrors:
        names, begin = ", ".join(config.mirrors), f"{listener.scheme}://{address}"
        told = "`pyproxycache mirror use NAME` prints what clients are told"
        lines.append(f"mirrors: {names}, at {begin}/NAME/  ({told})")
    if config.intercept.hosts:
        seen = "all hosts" if "*" in config.intercept.hosts else ", ".join(config.intercept.hosts)
        return [
            *lines,
            _shell_line(f"{listener.scheme}://", address),
            f"https, cached:      {seen}, for clients that trust {listener.scheme}://{address}/ca",
        ]
    prefix = f"curl {listener.scheme}://{address}/https://HOST/PATH"
    return [
        *lines,
        _shell_line(f"{listener.scheme}://", address),
        f"https, cached:      {prefix}  (by https_proxy it passes in a tunnel, unseen)",
    ]


def _shell_line(begin: str, address: str) -> str:
    """The line that says how a shell uses the proxy at the address, whose URL begins so."""
    url, host = f"{begin}{address}", address.rpartition(":")[0].strip("[]")
    direct = ",".join(dict.fromkeys(("localhost", "127.0.0.1", host)))
    return f"use it in a shell:  export http_proxy={url} https_proxy={url} no_proxy={direct}"


def _shown(listener: ListenerOptions) -> str:
    return listener.address if listener.tls is None else f"{listener.address} (TLS)"


def _is_reached_from_elsewhere(listen: str) -> bool:
    return not listen.startswith(("unix:", "127.", "localhost:", "[::1]:"))
