"""The command `env`: prints how a shell has its programs use the running server."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import click

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
from pyproxycache.cli.runs.client_variables import REPLACED, Around
from pyproxycache.cli.runs.running_server import (
    RunningServer,
    authority_option,
    server_at,
    server_of,
    server_option,
)
from pyproxycache.cli.runs.settings import write_settings
from pyproxycache.cli.runs.surroundings import before_replacing
from pyproxycache.errors import ConfigError


def _sh(name: str, value: str | None) -> str:
    return f"unset {name};" if value is None else f"export {name}={shlex.quote(value)};"


def _fish(name: str, value: str | None) -> str:
    if value is None:
        return f"set -e {name};"
    text = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{text}';"


def _csh(name: str, value: str | None) -> str:
    if value is None:
        return f"unsetenv {name};"
    # In any quotes, ! and line ends keep a meaning of their own.
    text = value.replace("'", "'\\''").replace("!", "\\!").replace("\n", "\\\n")
    return f"setenv {name} '{text}';"


SHELLS: dict[str, Callable[[str, str | None], str]] = {"sh": _sh, "fish": _fish, "csh": _csh}
"""Each shell's way to set a variable, or with None to remove it, as a line."""


def shell_of(path: str) -> str:
    """The shell of these by the path of a program, as SHELL has it; sh for all others."""
    name = path.rpartition("/")[2]
    return name if name in SHELLS else {"tcsh": "csh"}.get(name, "sh")


def shell_lines(shell: str, settings: Mapping[str, str | None]) -> list[str]:
    """The lines by which the shell sets these variables; None: removes them."""
    return [SHELLS[shell](name, value) for name, value in settings.items()]


@click.command()
@config_option
@cache_dir_option
@server_option
@authority_option
@click.option("--shell", type=click.Choice([*SHELLS]), help="Whose lines.  [default: by SHELL]")
@click.option("--unset", is_flag=True, help="Print how the shell has its variables as they were before.")
@json_option
@click.option("--replaced", envvar=REPLACED, expose_value=False, hidden=True, help="Set by these lines.")
def env(
    config_file: Path | None,
    cache_dir: str | None,
    server: str | None,
    authority_file: Path | None,
    shell: str | None,
    unset: bool,
    as_json: bool,
) -> None:
    """Print shell lines by which programs use the running server, HTTPS included.

    They are for `eval "$(pyproxycache env)"`. The server is the one named, or the one that runs on this
    user's cache folder. Files that programs need are written into XDG_RUNTIME_DIR, XDG_CACHE_HOME or
    ~/.cache, whichever is there first.
    """
    before = before_replacing(os.environ)
    settings: dict[str, str | None]
    if unset:
        names = [name for name in os.environ if os.environ[name] != before.get(name)]
        settings = {name: before.get(name) for name in names}
    else:
        config = load_config(config_file, {"store.path": cache_dir})
        try:
            found = server_at(server, authority_file) if server else server_of(config)
        except ConfigError as error:
            fail(str(error), PROBLEMS)
        if found is None:
            fail(
                f"no server that programs can use runs on {config.store.path}: start it with "
                "`pyproxycache serve`, or name another one with --server",
                PROBLEMS,
            )
        try:
            settings = {**_settings(before, found)}
        except OSError as error:
            fail(f"{error.filename}: {error.strerror}", PROBLEMS)
    if as_json:
        print_json(settings)
        return
    for line in shell_lines(shell or shell_of(os.environ.get("SHELL", "")), settings):
        click.echo(line)


def _settings(before: Mapping[str, str], server: RunningServer) -> Mapping[str, str]:
    """Write the files, and give the variables that name them; raises OSError."""
    folder = _folder(before) / f"{server.host.replace(':', '.')}-{server.port}"
    folder.mkdir(parents=True, exist_ok=True)
    around = Around(server.host, server.port, folder, folder / "replaced.json", None, server.scheme)
    return write_settings(before, around, server.authority)


def _folder(environ: Mapping[str, str]) -> Path:
    """A folder that stays while the user is logged in, at least."""
    for name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME"):
        path = Path(environ.get(name, ""))
        if path.is_absolute() and path.is_dir():
            return path / "pyproxycache-env"
    try:
        return Path("~/.cache").expanduser() / "pyproxycache-env"
    except RuntimeError:
        fail("this user has no home folder for files that programs need", WRONG_USAGE)
