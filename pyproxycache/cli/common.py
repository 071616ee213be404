"""What the commands share: options, errors for people, and the cache they work on."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from pyproxycache.config import Config, load
from pyproxycache.errors import ConfigError, ProxyError
from pyproxycache.wiring import Store, open_store

Command = Callable[..., Any]

WRONG_USAGE = 2
PROBLEMS = 1


def config_option(command: Command) -> Command:
    return click.option(
        "-c",
        "--config",
        "config_file",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="PYPROXYCACHE_CONFIG",
        help="Configuration file (YAML).",
    )(command)


def cache_dir_option(command: Command) -> Command:
    return click.option(
        "--cache-dir",
        metavar="DIR",
        envvar="PYPROXYCACHE_CACHE_DIR",
        help="Where the cache lies.",
    )(command)


def max_size_option(command: Command) -> Command:
    return click.option(
        "--max-size",
        metavar="SIZE",
        envvar="PYPROXYCACHE_MAX_SIZE",
        help="How large the cache may grow, as in 200G.",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def on_cache(command: Command) -> Command:
    """Adds --config and --cache-dir, and hands the command the opened `store`."""

    @config_option
    @cache_dir_option
    @functools.wraps(command)
    def wrapped(config_file: Path | None, cache_dir: str | None, **options: Any) -> Any:
        config = load_config(config_file, {"store.path": cache_dir})
        return command(store=open_existing(config), **options)

    return wrapped


def load_config(path: Path | None, overrides: dict[str, object]) -> Config:
    """The configuration; ends the command with status 2 and a text where it is wrong."""
    try:
        return load(path, overrides)
    except ConfigError as error:
        fail(str(error), WRONG_USAGE)


def open_existing(config: Config) -> Store:
    """The cache that is there; none is made by asking about it."""
    path = config.store.path
    try:
        found = (path / "index.sqlite").exists()
    except OSError as error:
        fail(f"cannot look into {path}: {error.strerror}", PROBLEMS)
    if not found:
        fail(f"there is no cache in {path}: name it with --cache-dir or in the configuration", PROBLEMS)
    with errors_for_people():
        return open_store(config.store)


class errors_for_people:  # noqa: N801
    """Turns what the cache cannot do into a line on standard error and exit status 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ProxyError):
            fail(str(error), PROBLEMS)
        if isinstance(error, OSError) and error.filename is not None:
            fail(f"{error.filename}: {error.strerror}", PROBLEMS)


def fail(text: str, status: int) -> NoReturn:
    click.echo(f"pyproxycache: {text}", err=True)
    sys.exit(status)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))
