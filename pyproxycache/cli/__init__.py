"""The command line."""

from __future__ import annotations

import os

import click

from pyproxycache import __version__
from pyproxycache.cli.config import config
from pyproxycache.cli.fetch import fetch
from pyproxycache.cli.inspect import ls, show, stats
from pyproxycache.cli.maintain import fsck, gc, purge
from pyproxycache.cli.serve import serve
from pyproxycache.cli.variables import unknown_variables


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pyproxycache")
def main() -> None:
    """A caching proxy that downloads each resource once and streams it to everyone."""
    for line in unknown_variables(main.commands.values(), os.environ):
        click.echo(f"pyproxycache: {line}", err=True)


for command in (serve, fetch, ls, show, stats, purge, gc, fsck, config):
    main.add_command(command)
