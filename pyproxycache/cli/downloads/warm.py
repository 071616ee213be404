"""The command `warm`: downloads into the running cache what lock files name."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from pyproxycache import clock
from pyproxycache.cli.cache_session import check_reachable
from pyproxycache.cli.common import (
    PROBLEMS,
    WRONG_USAGE,
    config_option,
    errors_for_people,
    fail,
    json_option,
    load_config,
    open_existing,
    print_json,
    printable,
)
from pyproxycache.cli.downloads.asked_cache import (
    asked_cache,
    check_mirror,
    jobs_option,
    mirrors_of,
    proxy_option,
)
from pyproxycache.cli.downloads.downloading import Fetched, OrderDownloads
from pyproxycache.cli.downloads.images import own_platform
from pyproxycache.cli.downloads.locating import Locating, distinct, packages_of
from pyproxycache.cli.downloads.outcomes import last_params
from pyproxycache.configuration.config import Config
from pyproxycache.mirrors.lock_files.formats import FORMATS, read_lock_file
from pyproxycache.mirrors.lock_files.locked import LARGEST, Locked, LockFileError, LockList
from pyproxycache.units import format_count, format_size


@click.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path)
)
@click.option(
    "--mirror", metavar="NAME", help="The mirror to be asked.  [default: the one of the ecosystem]"
)
@click.option("--format", type=click.Choice(tuple(FORMATS)), help="What FILE is, if its name tells not.")
@click.option("--only", metavar="GLOB", multiple=True, help="Only files whose names match, as in '*.whl'.")
@click.option(
    "--platform",
    "platforms",
    metavar="OS/ARCH",
    multiple=True,
    help="The platforms of images.  [default: this machine's]",
)
@click.option("--pin", "pins", is_flag=True, help="Pin them, so that they stay; on the cache's machine.")
@jobs_option
@proxy_option
@config_option
@json_option
def warm(
    files: tuple[Path, ...],
    mirror: str | None,
    format: str | None,
    only: tuple[str, ...],
    platforms: tuple[str, ...],
    pins: bool,
    jobs: int,
    proxy: str | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Download what lock files name into the running cache.

    Each file is compared with its digest in the lock file. Packages of lock files without URLs are found
    by the mirror's index.
    """
    locked: list[Locked] = []
    for file in files:
        read = read_lock(file, format)
        locked += read.locked
        for line in read.left_out:
            click.echo(f"{file}: left out: {printable(line)}", err=True)
    address = asked_cache(proxy, config_file)
    check_reachable(address.cache)
    config = mirrors_of(proxy, config_file)
    own = [str(config.public_url)] if config and config.public_url else []
    check_mirror(config, mirror, {one.ecosystem for one in locked if not one.url})
    locating = Locating(address, own, platforms or (own_platform(),))
    chosen = partial(_mirror_for, config, mirror)
    console = Console(stderr=True, quiet=as_json or not Console(stderr=True).is_terminal)
    with console.status("looking up where the files are"), ThreadPoolExecutor(jobs) as threads:
        found = list(
            threads.map(lambda package: locating.located(package, chosen(package[0])), packages_of(locked))
        )
    problems = [line for one in found for line in one.problems]
    orders = distinct(order for one in found for order in one.orders)
    orders = [order for order in orders if order.accept or _is_wanted(order.name, only)]
    for line in (*problems, *_unnamed(config, mirror, locked)):
        click.echo(printable(line), err=True)
    fetched = OrderDownloads(address, show=not as_json, only_errors=True).run(orders, jobs)
    if pins:
        problems += _pin(config_file, [one for one in fetched if not one.error])
    if as_json:
        print_json({"files": [asdict(one) for one in fetched], "problems": problems})
    else:
        click.echo(_summary(fetched, len(problems)))
    if problems or any(one.error for one in fetched):
        sys.exit(PROBLEMS)


def _pin(config_file: Path | None, fetched: Sequence[Fetched]) -> list[str]:
    """Pin the files in the cache on this machine; gives what is wrong, after saying so."""
    keys = [str(key) for one in fetched if (key := last_params(one.cache).get("key"))]
    store = open_existing(load_config(config_file, {}))
    problem = ""
    with errors_for_people():
        if not any(store.listing.accesses(key) for key in keys[:1]) and fetched:
            folder = store.database.path.parent
            problem = f"nothing is pinned: the cache in {folder} does not have what was downloaded"
        else:
            store.pins.pin(keys, clock.wall())
    if problem:
        click.echo(problem, err=True)
    return [problem] if problem else []


def read_lock(file: Path, format: str | None) -> LockList:
    """What the lock file names; ends the command if it cannot be read."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
        return read_lock_file(content, file.name, format)
    except OSError as error:
        fail(f"{file}: cannot be read: {error.strerror}", WRONG_USAGE)
    except LockFileError as error:
        fail(f"{file}: {error}", WRONG_USAGE)


def _mirror_for(config: Config | None, named: str | None, one: Locked) -> str | None:
    """The mirror that is asked for a package: the named one, else the only one of its ecosystem."""
    if named is not None:
        return named
    mirrors = config.mirrors if config is not None else {}
    fitting = [name for name, options in mirrors.items() if options.ecosystem == one.ecosystem]
    return fitting[0] if len(fitting) == 1 else None


def _unnamed(config: Config | None, named: str | None, locked: Iterable[Locked]) -> Iterator[str]:
    """For each ecosystem whose packages need a mirror, and got none: what to do."""
    if named is not None or config is None:
        return
    for ecosystem in sorted({one.ecosystem for one in locked if not one.url}):
        fitting = [name for name, options in config.mirrors.items() if options.ecosystem == ecosystem]
        if len(fitting) > 1:
            yield f"several mirrors are of {ecosystem}: name one of {', '.join(fitting)} with --mirror"
        elif not fitting:
            yield f"no mirror is of {ecosystem}: configure one, or name the server's configuration with -c"


def _is_wanted(name: str, only: tuple[str, ...]) -> bool:
    file = name.partition("?")[0].rpartition("/")[2]
    return not only or any(fnmatchcase(file, pattern) for pattern in only)


def _summary(fetched: Iterable[Fetched], problems: int) -> str:
    stored = [one for one in fetched if not one.error]
    failed = sum(1 for one in fetched if one.error) + problems
    there = sum(1 for one in stored if "hit" in last_params(one.cache))
    size = format_size(sum(one.bytes for one in stored))
    text = f"{format_count(len(stored), 'file')} in the cache, {size}; {there} of them were there"
    return f"{text}; {format_count(failed, 'problem')}" if failed else text
