"""The commands `config check` and `config show`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pyproxycache.cli.common import (
    PROBLEMS,
    errors_for_people,
    fail,
    load_config,
    server_options,
)
from pyproxycache.cli.mirror.found_hosts import with_found_hosts
from pyproxycache.cli.running import running
from pyproxycache.configuration.loading import dump, load
from pyproxycache.errors import ConfigError


@click.group()
def config() -> None:
    """Check or show the configuration."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Say whether FILE is a configuration, and where it is not."""
    try:
        load(file, {})
    except ConfigError as error:
        fail(str(error), PROBLEMS)
    click.echo(f"{file}: good")


@config.command()
@server_options
@click.option(
    "--running", "of_server", is_flag=True, help="Show that of the server which uses the cache now."
)
def show(config_file: Path | None, flags: dict[str, Any], of_server: bool) -> None:
    """Print the configuration, every key with its value.

    It is what `serve` with the same flags and variables would use.
    """
    loaded, lines = with_found_hosts(load_config(config_file, flags), os.environ)
    for line in lines:
        click.echo(f"pyproxycache: {line}", err=True)
    if not of_server:
        click.echo(dump(loaded), nl=False)
        return
    with errors_for_people():
        found = running(loaded.store.path)
    if found is None:
        fail(f"no server uses the cache in {loaded.store.path}: name it with --cache-dir or -c", PROBLEMS)
    click.echo(found, nl=False)
