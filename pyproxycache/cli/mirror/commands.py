"""The group `mirror`, with all its commands."""

from __future__ import annotations

import click

from pyproxycache.cli.mirror.allowing import allow, allowed, disallow
from pyproxycache.cli.mirror.detect import detect
from pyproxycache.cli.mirror.use import use


@click.group()
def mirror() -> None:
    """Find out what to mirror, how clients are told of it, and which releases they get."""


for command in (detect, use, allow, allowed, disallow):
    mirror.add_command(command)
