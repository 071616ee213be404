"""`serve`: run the proxy."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import click

from pyproxycache.cli.common import (
    PROBLEMS,
    cache_dir_option,
    config_option,
    errors_for_people,
    fail,
    load_config,
    max_size_option,
)
from pyproxycache.config import Config, load
from pyproxycache.report.sinks import sink
from pyproxycache.units import format_size
from pyproxycache.wiring import build_server, open_store

_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


@click.command()
@config_option
@cache_dir_option
@max_size_option
@click.option(
    "--listen",
    metavar="ADDR",
    multiple=True,
    envvar="PYPROXYCACHE_LISTEN",
    help="Address and port to listen on; several may be given.  [default: 127.0.0.1:3128]",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(min=1),
    envvar="PYPROXYCACHE_WORKERS",
    help="Worker processes.  [default: 2]",
)
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(min=1),
    envvar="PYPROXYCACHE_THREADS",
    help="Threads in each worker.  [default: 512]",
)
@click.option(
    "--access-log",
    metavar="PLACE",
    envvar="PYPROXYCACHE_ACCESS_LOG",
    help="Where a line for each request goes: a file, '-' for standard output, or 'syslog:'.",
)
@click.option(
    "--upstream", metavar="URL", envvar="PYPROXYCACHE_UPSTREAM", help="Be a reverse proxy for this origin."
)
def serve(
    config_file: Path | None,
    cache_dir: str | None,
    max_size: str | None,
    listen: tuple[str, ...],
    workers: int | None,
    threads: int | None,
    access_log: str | None,
    upstream: str | None,
) -> None:
    """Run the proxy until it is stopped.

    SIGTERM lets running downloads finish, SIGHUP reads the configuration again.
    """
    flags: dict[str, Any] = {
        "listen": listen,
        "workers": workers,
        "threads": threads,
        "upstream": upstream,
        "log.access": access_log,
        "store.path": cache_dir,
        "store.max_size": max_size,
    }
    config = load_config(config_file, flags)
    if "LISTEN_FDS" not in os.environ:
        _try_to_listen(config.listen)
    with errors_for_people():
        server = build_server(lambda: _usable(load(config_file, flags)), greet)
    server.run()


def _try_to_listen(listen: tuple[str, ...]) -> None:
    """Ends the command where an address cannot be had, rather than trying for seconds."""
    for address in listen:
        if address.startswith("unix:"):
            continue
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family) as probe:
                # Bound, not listening: no client must take the probe for the server.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, int(port)))
        except OSError as error:
            fail(f"cannot listen on {address}: {error.strerror}; choose another with --listen", PROBLEMS)


def _usable(config: Config) -> Config:
    """The configuration, once what workers open is known to open; raises StoreError or OSError."""
    store = open_store(config.store)
    store.clock_changes.look()
    store.recovery.run()
    store.database.close()
    if config.log.access is not None:
        access_log = sink(config.log.access)
        access_log.open()
        access_log.close()
    return config


def greet(config: Config) -> None:
    """Where it listens, where the cache is, and how a shell uses it."""
    url = f"http://{usable_address(config.listen)}"
    limit = format_size(config.store.max_size) if config.store.max_size is not None else "the disk's size"
    click.echo(f"pyproxycache listens on {', '.join(config.listen)}")
    click.echo(f"cache: {config.store.path} (up to {limit})")
    if config.upstream:
        click.echo(f"origin: {config.upstream}")
    else:
        click.echo(f"use it in a shell:  export http_proxy={url} no_proxy=localhost,127.0.0.1")
        click.echo(f"https by prefix:    curl {url}/https://HOST/PATH")


def usable_address(listen: tuple[str, ...]) -> str:
    """An address that a client on this machine can connect to."""
    for address in listen:
        if not address.startswith("unix:"):
            host, _, port = address.rpartition(":")
            return f"{_ANY.get(host, host)}:{port}"
    return fail("the cache listens on Unix sockets only", PROBLEMS)
