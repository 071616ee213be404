"""The command `mirror use`: how each client is set up to use a mirror."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from pyproxycache.cli.address import cache_url, usable_address, usable_listener
from pyproxycache.cli.common import (
    PROBLEMS,
    WRONG_USAGE,
    cache_dir_option,
    config_option,
    fail,
    json_option,
    load_config,
    print_json,
)
from pyproxycache.cli.running import running
from pyproxycache.cli.runs.running_server import server_option
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import parse
from pyproxycache.errors import ConfigError
from pyproxycache.mirrors.clients.client_setup import ClientSetup, MirrorAddress, client_setups


@click.command()
@config_option
@cache_dir_option
@server_option
@click.option("--client", metavar="CLIENT", help="Print what this one is told alone.")
@json_option
@click.argument("name")
def use(
    config_file: Path | None,
    cache_dir: str | None,
    server: str | None,
    client: str | None,
    as_json: bool,
    name: str,
) -> None:
    """Print what clients are to be told, so that they use the mirror NAME.

    Variables, a command, or lines of a file: each of them is enough. The mirror is one of the
    configuration, or of the server that runs on this user's cache folder. The address of the server is the
    one named, or `public_url`, or the one on which it listens.
    """
    config = _with_mirror(load_config(config_file, {"store.path": cache_dir}), name)
    mirror = config.mirrors[name]
    registry = next(iter(mirror.registries), "")
    address = MirrorAddress(_address(config, server), name, str(mirror.urls[0]), registry)
    setups = client_setups(mirror.ecosystem, address)
    if client is not None:
        accepted = ", ".join(one.client for one in setups) or "none"
        setups = tuple(one for one in setups if one.client == client)
        if not setups:
            fail(
                f"--client: {client!r} is none of the clients of {mirror.ecosystem}: {accepted}",
                WRONG_USAGE,
            )
    if as_json:
        print_json({"url": address.url, "clients": {one.client: _plain(one) for one in setups}})
        return
    if not setups:
        click.echo(address.url)
    for one in setups:
        for line in _lines(one):
            click.echo(line)


def _with_mirror(config: Config, name: str) -> Config:
    """The configuration that has the mirror: this one, or that of the running server."""
    found = [config]
    with contextlib.suppress(OSError, ConfigError):
        text = running(config.store.path)
        found += [] if text is None else [parse(text, "the running server")]
    fitting = next((one for one in found if name in one.mirrors), None)
    if fitting is None:
        names = ", ".join(dict.fromkeys(other for one in found for other in one.mirrors)) or "none"
        hint = (
            ""
            if len(found) > 1 or config.mirrors
            else (f"; no server runs on {config.store.path}: name its configuration with -c")
        )
        fail(f"there is no mirror {name!r}: configured are {names}{hint}", PROBLEMS)
    return fitting


def _address(config: Config, server: str | None) -> str:
    if server is not None:
        try:
            return cache_url(server)
        except ValueError as error:
            fail(f"--server: {error}", WRONG_USAGE)
    if config.public_url is not None:
        return str(config.public_url).rstrip("/")
    listener = usable_listener(config.listen)
    address = usable_address((listener.address,))
    if address is None:
        fail(
            "the server listens on Unix sockets alone: name the address of clients with --server", PROBLEMS
        )
    return f"{listener.scheme}://{address}"


def _plain(setup: ClientSetup) -> dict[str, object]:
    file = {"path": setup.file, "lines": list(setup.lines)} if setup.file else None
    return {"variables": setup.variables, "command": setup.command or None, "file": file}


def _lines(setup: ClientSetup) -> Iterator[str]:
    if setup.variables:
        yield f"# {setup.client}, by variables"
        yield from (f"export {name}={shlex.quote(value)}" for name, value in setup.variables.items())
    if setup.command:
        yield f"# {setup.client}, by its command"
        yield setup.command
    if setup.file:
        yield f"# {setup.client}, in {setup.file}"
        yield from (f"#   {line}" for line in setup.lines)
