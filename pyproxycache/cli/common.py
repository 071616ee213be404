"""What the commands share: options, errors written for people, and the cache they work on."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pwd
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.loading import FLAGS, load
from pyproxycache.errors import BadRequest, ConfigError, ProxyError
from pyproxycache.rules.policy import Policies
from pyproxycache.rules.urls import parse_url
from pyproxycache.rules.userinfo import split_userinfo
from pyproxycache.url import Url
from pyproxycache.wiring.stored import OpenStore, open_store

Command = Callable[..., Any]

_NO_STORE = "a server that cannot open it either passes requests on, and keeps nothing"

WRONG_USAGE = 2
PROBLEMS = 1


@dataclass(frozen=True, slots=True)
class Cache:
    """The cache that a command works on, and its configuration, which its keys depend on."""

    store: OpenStore
    config: Config
    policies: Policies

    def key(self, url: str) -> str:
        """The cache key of the URL; ends the command if it is not a URL."""
        return self.policies.about(self._parsed(url)).key

    def _parsed(self, url: str) -> Url:
        try:
            return parse_url(split_userinfo(url)[0])
        except BadRequest as error:
            raise click.BadParameter(str(error), param_hint="URL") from error


def config_option(command: Command) -> Command:
    """Add --config."""
    return click.option(
        "-c",
        "--config",
        "config_file",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="PYPROXYCACHE_CONFIG",
        help="Configuration file (YAML).",
    )(command)


def cache_dir_option(command: Command) -> Command:
    """Add --cache-dir."""
    return click.option(
        "--cache-dir",
        metavar="DIR",
        envvar="PYPROXYCACHE_CACHE_DIR",
        help="Where the cache lies.",
    )(command)


def max_size_option(command: Command) -> Command:
    """Add --max-size."""
    return click.option(
        "--max-size",
        metavar="SIZE",
        envvar="PYPROXYCACHE_MAX_SIZE",
        help="How large the cache may grow, as in 200G.",
    )(command)


def server_options(command: Command) -> Command:
    """Add all flags of `serve`; the command gets `config_file`, and `flags` by configuration key."""

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
        "--workers", metavar="N", envvar="PYPROXYCACHE_WORKERS", help="Worker processes.  [default: 2]"
    )
    @click.option(
        "--threads",
        metavar="N",
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
        "--upstream",
        metavar="URL",
        envvar="PYPROXYCACHE_UPSTREAM",
        help="Be a reverse proxy for this origin.",
    )
    @click.option(
        "--offline",
        is_flag=True,
        default=None,
        envvar="PYPROXYCACHE_OFFLINE",
        help="Ask no origin: what is stored answers at any age, the rest gets 504.",
    )
    @functools.wraps(command)
    def wrapped(config_file: Path | None, **options: Any) -> Any:
        flags = {
            key: options.pop(_parameter(flag)) for key, flag in FLAGS.items() if _parameter(flag) in options
        }
        return command(config_file=config_file, flags=flags, **options)

    return wrapped


def _parameter(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def given_by() -> dict[str, str]:
    """For each key, the flag or the variable by which the running command was given its value."""
    return {key: flag_or_variable(flag) for key, flag in FLAGS.items()}


def flag_or_variable(flag: str) -> str:
    """The flag, or the environment variable if the running command took the value from that."""
    context = click.get_current_context()
    for option in context.command.params:
        if flag in option.opts:
            source = context.get_parameter_source(str(option.name))
            return str(option.envvar) if source is ParameterSource.ENVIRONMENT else flag
    return flag


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def on_cache(command: Command) -> Command:
    """Add --config and --cache-dir; the command gets the opened `cache`."""

    @config_option
    @cache_dir_option
    @functools.wraps(command)
    def wrapped(config_file: Path | None, cache_dir: str | None, **options: Any) -> Any:
        config = load_config(config_file, {"store.path": cache_dir})
        return command(cache=Cache(open_existing(config), config, config.policies()), **options)

    return wrapped


def load_config(
    path: Path | None, overrides: dict[str, object], names: dict[str, str] | None = None
) -> Config:
    """Read the configuration; if it is wrong, end the command with a text and exit status 2.

    The text calls overrides by `names`, or else by their flag or variable.
    """
    try:
        return load(path, overrides, names or given_by())
    except ConfigError as error:
        fail(str(error), WRONG_USAGE)


def open_existing(config: Config) -> OpenStore:
    """Open the cache that exists; ends the command if there is none."""
    path = config.store.path
    try:
        found = (path / "index.sqlite").exists()
    except OSError as error:
        fail(f"cannot look into {path}: {error.strerror}{_for_whom(path)}\n{_NO_STORE}", PROBLEMS)
    if not found:
        fail(f"there is no cache in {path}: name it with --cache-dir or in the configuration", PROBLEMS)
    with errors_for_people(_NO_STORE):
        return open_store(config.store)


def _for_whom(path: Path) -> str:
    """A hint at whose folder it is, unless it is ours."""
    for folder in (path, *path.parents):
        with contextlib.suppress(OSError):
            owner = folder.stat().st_uid
            break
    if owner == os.geteuid():
        return ""
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = str(owner)
    return f"; run the command as the server's user, perhaps {name}"


@contextlib.contextmanager
def errors_for_people(note: str = "") -> Iterator[None]:
    """A context that turns errors of the cache into a line on standard error and exit status 1."""
    try:
        yield
    except ProxyError as error:
        fail(f"{error}\n{note}", PROBLEMS)
    except OSError as error:
        if error.filename is None:
            raise
        fail(f"{error.filename}: {error.strerror}", PROBLEMS)


def fail(text: str, status: int) -> NoReturn:
    """End the command with this exit status, after printing each line of the text to standard error."""
    for line in text.splitlines():
        click.echo(f"pyproxycache: {printable(line)}", err=True)
    sys.exit(status)


def printable(text: str) -> str:
    """The text with escapes in place of what is not to be seen, such as what controls a terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def print_json(value: object) -> None:
    """Print the value as indented JSON."""
    click.echo(json.dumps(value, indent=2))


def print_json_list(values: Iterable[object]) -> None:
    """Print a list as indented JSON, without holding all of it in memory."""
    begin = "["
    for value in values:
        click.echo(f"{begin}\n{textwrap.indent(json.dumps(value, indent=2), '  ')}", nl=False)
        begin = ","
    click.echo("\n]" if begin == "," else "[]")
