"""`config`: check a file, show what is in force."""

from __future__ import annotations

from pathlib import Path

import click

from pyproxycache.cli.common import PROBLEMS, cache_dir_option, config_option, fail, load_config
from pyproxycache.config import dump, load
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
@config_option
@cache_dir_option
def show(config_file: Path | None, cache_dir: str | None) -> None:
    """Print the configuration in force, every key with its value."""
    click.echo(dump(load_config(config_file, {"store.path": cache_dir})), nl=False)
