"""The command line."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

from pyproxycache import __version__
from pyproxycache.cli.archives.export import export
from pyproxycache.cli.archives.importing import import_archive
from pyproxycache.cli.ca.commands import ca
from pyproxycache.cli.common import PROBLEMS, fail
from pyproxycache.cli.config import config
from pyproxycache.cli.downloads.fetch import fetch
from pyproxycache.cli.downloads.warm import warm
from pyproxycache.cli.inspect import ls, show, stats
from pyproxycache.cli.maintain import fsck, gc, purge
from pyproxycache.cli.mirror.commands import mirror
from pyproxycache.cli.pins import pin, unpin
from pyproxycache.cli.route import route
from pyproxycache.cli.runs.env import env
from pyproxycache.cli.runs.run import run
from pyproxycache.cli.serve import serve
from pyproxycache.cli.variables import unknown_variables

_INTERRUPTED = 130


class _Commands(click.Group):
    """The group of all commands; if output cannot be written, as on a full disk, an error line says so."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            found = super().invoke(ctx)
            sys.stdout.flush()
        except OSError as error:
            # A closed pipe is handled by click; an error with a file name is not about the output.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG) or error.filename:
                raise
            # The rest of the buffer would fail again when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            fail(f"cannot write to standard output: {error.strerror}", PROBLEMS)
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pyproxycache")
def main() -> None:
    """A caching proxy that downloads each resource once and streams it to everyone."""
    for line in unknown_variables(main.commands.values(), os.environ):
        click.echo(f"pyproxycache: {line}", err=True)


_STORED = (ls, show, stats, purge, gc, fsck, pin, unpin, export, import_archive)
for command in (serve, run, env, fetch, warm, *_STORED, config, route, ca, mirror):
    main.add_command(command)
