"""The command `import`: stored responses out of a file that `export` wrote."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import click

from pyproxycache import clock
from pyproxycache.cli.archives.archive_format import ArchiveError, ArchiveReader
from pyproxycache.cli.common import (
    PROBLEMS,
    WRONG_USAGE,
    Cache,
    cache_dir_option,
    config_option,
    errors_for_people,
    fail,
    json_option,
    load_config,
    print_json,
)
from pyproxycache.errors import NoSpace
from pyproxycache.messages import Entry
from pyproxycache.units import format_count, format_size
from pyproxycache.wiring.stored import open_store

_KEPT = "imported"
_NO_ROOM = "there is no room for them"
_OUTDATED = "what is here is as new or newer"


class _Evictions:
    """How many responses this command has evicted, and their bytes: some may be of its own file."""

    def __init__(self) -> None:
        self.entries = self.bytes = 0

    def count(self, entries: int, freed: int) -> None:
        """Take further ones in."""
        self.entries += entries
        self.bytes += freed


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@cache_dir_option
@json_option
def import_archive(file: Path, config_file: Path | None, cache_dir: str | None, as_json: bool) -> None:
    """Store the responses in FILE, which `export` wrote; '-' is standard input.

    Each body is compared with its digest before it is stored. What is newer in the cache stays. Import only
    what you would believe of its URLs: nobody asks their origins.
    """
    config = load_config(config_file, {"store.path": cache_dir})
    outcomes: Counter[str] = Counter()
    size = 0
    problem = ""
    evictions = _Evictions()
    with errors_for_people():
        cache = Cache(open_store(config.store, evictions.count), config, config.policies())
        with _opened(file) as opened:
            try:
                for entry, body in ArchiveReader(opened).entries():
                    became = _imported(cache, entry, body)
                    outcomes[became] += 1
                    size += entry.size if became == _KEPT else 0
            except ArchiveError as error:
                problem = f"{file}: {error}"
    left_out = {why: count for why, count in outcomes.items() if why != _KEPT}
    if as_json:
        told = {"entries": outcomes[_KEPT], "bytes": size, "left_out": left_out, "problem": problem}
        print_json({**told, "evicted": evictions.entries})
    else:
        click.echo(f"imported {format_count(outcomes[_KEPT], 'response')}, {format_size(size)}")
        for why, count in left_out.items():
            click.echo(f"left out {format_count(count, 'response')}: {why}", err=True)
        if evictions.entries:
            evicted = f"{format_count(evictions.entries, 'response')}, {format_size(evictions.bytes)}"
            click.echo(f"evicted {evicted}, to make room for others", err=True)
    if problem:
        fail(problem, PROBLEMS)
    if any(why != _OUTDATED for why in left_out):
        sys.exit(PROBLEMS)


def _imported(cache: Cache, entry: Entry, body: Iterator[bytes]) -> str:
    """Store the entry, and say so, or why not; all of the body is read."""
    why = _why_not(cache, entry)
    if why:
        for _block in body:
            pass
        return why
    try:
        return _KEPT if cache.store.adoption.adopt(entry, body) else _OUTDATED
    except NoSpace:
        for _block in body:
            pass
        return _NO_ROOM


def _why_not(cache: Cache, entry: Entry) -> str:
    """Why the entry is not stored, "" if it is."""
    if replace(entry, key=cache.key(entry.key)) != entry:
        return "the rules of this cache find them by other keys"
    if entry.response_time > clock.wall() + 86400:
        return "they come from the future: one of the clocks is wrong"
    why = cache.store.space.why_not_admitted(entry.size, entry.head.size)
    if why is not None:
        return "they are larger than what may be stored" if why == "size" else _NO_ROOM
    return _OUTDATED if cache.store.adoption.is_outdated(entry) else ""


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    if path.is_dir():
        fail(f"{path} is a folder: name a file that `pyproxycache export` wrote", WRONG_USAGE)
    with path.open("rb") as opened:
        yield opened
