"""The command `run`: runs a command whose downloads go through the cache."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from pyproxycache import clock
from pyproxycache.cli.common import (
    WRONG_USAGE,
    cache_dir_option,
    config_option,
    fail,
    flag_or_variable,
    load_config,
    printable,
)
from pyproxycache.cli.runs.client_variables import REPLACED, Around
from pyproxycache.cli.runs.foreground import CannotRun, Foreground, end_as, executable_of
from pyproxycache.cli.runs.private_config import private_config
from pyproxycache.cli.runs.private_server import PrivateServer
from pyproxycache.cli.runs.records import Records
from pyproxycache.cli.runs.report import write_report
from pyproxycache.cli.runs.run_folder import run_folder
from pyproxycache.cli.runs.running_server import (
    RunningServer,
    authority_option,
    configuration_beside,
    server_at,
    server_option,
)
from pyproxycache.cli.runs.settings import write_settings
from pyproxycache.cli.runs.surroundings import before_replacing
from pyproxycache.cli.trial import try_out
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.default_places import default_authority_path
from pyproxycache.errors import ConfigError, ProxyError, reason
from pyproxycache.tls.certificate_authority import CertificateAuthority

CANNOT_BEGIN = 125
"""The exit status if the command was not run at all, as of env(1), timeout(1) and others."""
_HOST = "127.0.0.1"
_REPLACED_FILE = "replaced.json"
_SHOWN_OF_LOG = 3
_LOG_BEGIN = re.compile(r"^\[[^]]*\] \[\d+\] \[(?:WARNING|ERROR|CRITICAL)\] ")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user of `run` wants: the command, and what only a private server can do for it."""

    command: tuple[str, ...]
    accounts: tuple[str, ...]
    ephemeral: bool
    offline: bool
    report: Path | None
    quiet: bool

    @property
    def needs_private(self) -> str | None:
        """An option that was given, and that a running server cannot serve; None for none."""
        given = {
            "--ephemeral": self.ephemeral,
            "--offline": self.offline,
            "--report": self.report is not None,
            "--allow-account": bool(self.accounts),
        }
        return next((name for name, is_given in given.items() if is_given), None)


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@config_option
@cache_dir_option
@server_option
@authority_option
@click.option("--private", is_flag=True, help="Use a server of its own, whatever PYPROXYCACHE_PROXY says.")
@click.option("--ephemeral", is_flag=True, help="Use an authority made for this run alone.")
@click.option("--offline", is_flag=True, help="Ask no origin: what is stored answers, stale or not.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what was downloaded to FILE, as JSON.",
)
@click.option("--quiet", is_flag=True, help="Print nothing at the end.")
@click.option(
    "--allow-account",
    "accounts",
    metavar="NAME",
    multiple=True,
    help="Let programs of this user of the machine use the cache, too.",
)
@click.option("--replaced", envvar=REPLACED, expose_value=False, hidden=True, help="Set by another run.")
def run(
    config_file: Path | None,
    cache_dir: str | None,
    server: str | None,
    authority_file: Path | None,
    private: bool,
    **wishes: Any,
) -> NoReturn:
    """Run COMMAND with its downloads going through the cache, HTTPS included.

    The cache is a server that is started for this command alone, on this user's cache folder, or the one
    that --server names. Nothing else on the machine is changed. The exit status is the command's; 127: it
    was not found, 126: it may not be executed, 125: the cache could not be started.
    """
    wanted = RunOptions(**wishes)
    own = "--private" if private else wanted.needs_private
    if server and own:
        if flag_or_variable("--server") == "--server":
            fail(f"{own} needs a server of its own: leave --server out", WRONG_USAGE)
        server = None  # what was asked for by an option wins over a variable
    environ = before_replacing(os.environ)
    try:
        executable = executable_of(wanted.command[0], environ.get("PATH", os.defpath))
        config = load_config(config_file, {"store.path": cache_dir})
        with run_folder() as folder:
            if server:
                found = server_at(server, authority_file)
                status = _run_by(found, wanted, executable, environ, folder)
            else:
                if config_file is None:
                    config = _as_beside(config)
                status = _run_privately(wanted, executable, config, environ, folder)
    except CannotRun as error:
        fail(str(error), error.status)
    except KeyboardInterrupt:
        status = signal.SIGINT  # the wait status of a command that it ends
    except (ConfigError, ProxyError) as error:
        fail(f"the command was not run:\n{error}", CANNOT_BEGIN)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        fail(f"the command was not run: {what}", CANNOT_BEGIN)
    sys.exit(end_as(status))


def _as_beside(config: Config) -> Config:
    """The configuration of the server that runs on the cache folder, if one does and it can be read."""
    try:
        return configuration_beside(config) or config
    except ConfigError as error:
        for line in str(error).splitlines():
            _say(f"pyproxycache: {line}")
        _say("pyproxycache: so the defaults count for this command: name a configuration with -c")
        return config


def _run_by(
    server: RunningServer, wanted: RunOptions, executable: str, environ: Mapping[str, str], folder: Path
) -> int:
    """Run the command with a running server; returns the command's wait status."""
    around = Around(server.host, server.port, folder, folder / _REPLACED_FILE, None, server.scheme)
    settings = write_settings(environ, around, server.authority)
    status = Foreground(executable, wanted.command, {**environ, **settings}).wait()
    if not wanted.quiet:
        https = (
            "" if server.authority else ", which intercepts nothing: HTTPS went past the cache in tunnels"
        )
        click.echo(
            f"pyproxycache: the requests are in the log of the server at {server.url}{https}", err=True
        )
    return status


def _run_privately(
    wanted: RunOptions, executable: str, config: Config, environ: Mapping[str, str], folder: Path
) -> int:
    """Run the command with a private server; returns the command's wait status."""
    if wanted.report is not None:
        wanted.report.touch()  # an error of it comes before the command, not after it
    place, authority = _authority(wanted, config, environ, folder)
    listener = socket.create_server((_HOST, 0))
    port = listener.getsockname()[1]
    private = private_config(
        config,
        environ,
        folder,
        f"{_HOST}:{port}",
        authority=place,
        accounts=wanted.accounts,
        offline=wanted.offline,
    )
    around = Around(_HOST, port, folder, folder / _REPLACED_FILE, None)
    settings = write_settings(environ, around, authority.pem)
    records = Records(keeps=wanted.report is not None)
    with PrivateServer(
        try_out(private, listens=False, stores=False), listener, folder / "server.log"
    ) as server:
        foreground = Foreground(executable, wanted.command, {**environ, **settings})
        reader = threading.Thread(target=records.read, args=(server.records,), name="records")
        reader.start()
        status = foreground.wait()
    reader.join()  # to the end of what the server has written
    if server.ended_early:
        _say("pyproxycache: the cache ended before the command: its requests failed then")
    if not wanted.quiet:
        _tell(records, server.logged())
    if wanted.report is not None:
        _report(wanted.report, records, private, wanted.command, status)
    return status


def _tell(records: Records, logged: str) -> None:
    """Print what the requests amount to, and what the server has logged, which is about something wrong."""
    lines = list(dict.fromkeys(_LOG_BEGIN.sub("", line) for line in logged.splitlines()))
    for line in lines[:_SHOWN_OF_LOG]:
        _say(f"pyproxycache: {line}")
    if lines[_SHOWN_OF_LOG:]:
        _say(f"pyproxycache: and {len(lines) - _SHOWN_OF_LOG} lines more")
    _say(f"pyproxycache: {records.summary()}")


def _say(text: str) -> None:
    """Print a line to standard error; if nobody can read it, the command's end counts all the same."""
    with suppress(OSError):
        click.echo(printable(text), err=True)


def _report(path: Path, records: Records, config: Config, command: tuple[str, ...], status: int) -> None:
    try:
        write_report(path, records, config, command, status)
    except (OSError, ProxyError) as error:
        _say(f"pyproxycache: {path}: the report is not written: {reason(error)}")


def _authority(
    wanted: RunOptions, config: Config, environ: Mapping[str, str], folder: Path
) -> tuple[Path, CertificateAuthority]:
    """The authority, and its folder: the user's, or one of the run alone where that cannot be made."""
    alone = folder / "ca"
    place = alone if wanted.ephemeral else config.intercept.ca or default_authority_path(environ)
    try:
        return place, authority_in(place)
    except ConfigError:
        if config.intercept.ca is not None or place.exists():
            raise
    return alone, authority_in(alone)


def authority_in(folder: Path) -> CertificateAuthority:
    """The authority in the folder, made there if there is none. Raises ConfigError."""
    if not folder.exists():
        try:
            return CertificateAuthority.create(folder, clock.wall())
        except ConfigError:
            if not folder.exists():
                raise
            # Another run was faster.
    return CertificateAuthority.load(folder)
