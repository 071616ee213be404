"""The command `export`: stored responses as one file, for another machine."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from pyproxycache import __version__
from pyproxycache.body import in_blocks
from pyproxycache.cli.archives.archive_format import ArchiveError, ArchiveWriter
from pyproxycache.cli.archives.chosen import Chosen
from pyproxycache.cli.common import (
    PROBLEMS,
    WRONG_USAGE,
    Cache,
    errors_for_people,
    fail,
    json_option,
    on_cache,
    print_json,
    printable,
)
from pyproxycache.cli.downloads.warm import read_lock
from pyproxycache.cli.inspect import nothing_matches
from pyproxycache.messages import Entry
from pyproxycache.store.values import BodyGone
from pyproxycache.units import format_count, format_size

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option(
    "--lock",
    "locks",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A lock file: what it names, and the indexes of that.",
)
@json_option
@on_cache
def export(
    cache: Cache, file: Path, patterns: tuple[str, ...], locks: tuple[Path, ...], as_json: bool
) -> None:
    """Write stored responses to FILE, for `import` on another machine.

    Those whose URLs match a PATTERN, a glob as in '*.deb', and those that belong to lock files; without
    any, all. FILE is a tar archive, '-' for standard output.
    """
    if as_json and str(file) == "-":
        fail("--json and the archive cannot both go to standard output", WRONG_USAGE)
    if str(file) == "-" and sys.stdout.isatty():
        fail("an archive is nothing for a terminal: name a file, or send it into a pipe", WRONG_USAGE)
    if file.exists() and not file.is_file():  # a device or a pipe would be replaced
        fail(f"{file} is no file: name one, or '-' for standard output", WRONG_USAGE)
    chosen = Chosen(one for lock in locks for one in read_lock(lock, None).locked)
    count = size = 0
    left_out: list[str] = []
    with errors_for_people(), _opened(file) as opened:
        try:
            writer = ArchiveWriter(opened, __version__)
            for entry in _entries(cache, patterns, chosen if locks else None):
                try:
                    body = cache.store.bodies.open(entry.digest, entry.size, 0, entry.size)
                except BodyGone as error:
                    left_out.append(f"{entry.key}: {error}")
                    continue
                with contextlib.closing(body):
                    writer.add(entry, in_blocks(body))
                count, size = count + 1, size + entry.size
            writer.close()
        except ArchiveError as error:
            fail(str(error), PROBLEMS)
    if patterns and not count:
        left_out += [nothing_matches(pattern) for pattern in patterns]
    left_out += [f"{name}: not in the cache; `pyproxycache warm` downloads it" for name in chosen.missing()]
    for line in left_out:
        click.echo(printable(line), err=True)
    if as_json:
        print_json({"entries": count, "bytes": size, "problems": left_out})
    else:
        said = f"exported {format_count(count, 'stored response')}, {format_size(size)}"
        click.echo(said, err=str(file) == "-")
    if left_out:
        sys.exit(PROBLEMS)


def _entries(cache: Cache, patterns: tuple[str, ...], chosen: Chosen | None) -> Iterator[Entry]:
    """The entries to be exported, each once."""
    seen: set[int] = set()
    walks = list(patterns) or (["*"] if chosen is None else [])
    for pattern in walks:
        for access in cache.store.listing.walk(pattern):
            if access.entry.id not in seen:
                seen.add(access.entry.id)
                if chosen is not None:
                    chosen.has(access.entry)
                yield access.entry
    if chosen is not None:
        for access in cache.store.listing.walk():
            if access.entry.id not in seen and chosen.has(access.entry):
                yield access.entry


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file to write to, which is in its place only once it is whole."""
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    new = path.with_name(f"{path.name}.{os.getpid()}.new")  # another export may be at work on the same
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(new, flags, 0o600)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as opened:
            yield opened
        new.replace(path)
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
