"""The commands `purge`, `gc` and `fsck`: remove what is stored, and check it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress as Bar

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
    max_size_option,
    on_cache,
    open_existing,
    print_json,
)
from pyproxycache.errors import BadRequest
from pyproxycache.store.upkeep.fsck import Finding
from pyproxycache.store.upkeep.space import Collected
from pyproxycache.units import format_count, format_size
from pyproxycache.wiring.admin.purging import Purging

_PATIENCE = 600.0
"""Seconds that gc waits while a server collects."""


@click.command()
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option("--prefix", is_flag=True, help="Each URL stands for all that begin with it.")
@click.option("--pattern", is_flag=True, help="Each URL is a glob, as in '*/simple/*'.")
@click.option("--all", "everything", is_flag=True, help="Purge all there is.")
@click.option("--group", metavar="NAME", help="Purge a cache group, as in the Cache-Groups field.")
@click.option("--origin", metavar="URL", help="The group of this origin only.")
@json_option
@on_cache
def purge(
    cache: Cache,
    urls: tuple[str, ...],
    prefix: bool,
    pattern: bool,
    everything: bool,
    group: str | None,
    origin: str | None,
    as_json: bool,
) -> None:
    """Forget what is stored for URLs.

    The next request for one of them, on any worker, fetches anew.
    """
    chosen = (bool(urls), everything, group is not None).count(True)
    if (
        chosen != 1
        or (prefix and pattern)
        or ((prefix or pattern) and not urls)
        or (origin is not None and group is None)
    ):
        fail(
            "purge takes URLs (with --prefix or --pattern, if wanted), or --all, or --group"
            " (with --origin, if wanted)",
            WRONG_USAGE,
        )
    purging = Purging(cache.config, cache.store)
    with errors_for_people():
        try:
            count = _purged(purging, urls, prefix, pattern, group, origin)
        except BadRequest as error:
            raise click.UsageError(str(error)) from error
    if as_json:
        print_json({"purged": count})
    else:
        click.echo(f"purged {format_count(count, 'stored response')}")


def _purged(
    purging: Purging,
    urls: tuple[str, ...],
    prefix: bool,
    pattern: bool,
    group: str | None,
    origin: str | None,
) -> int:
    if group is not None:
        return purging.group(group, origin)
    if prefix:
        return purging.prefixes(urls)
    if pattern:
        return purging.patterns(urls)
    return purging.urls(urls) if urls else purging.everything()


@click.command()
@config_option
@cache_dir_option
@max_size_option
@click.option(
    "--unused",
    metavar="AGE",
    envvar="PYPROXYCACHE_UNUSED",
    help="What was not asked for in so long goes.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and leave it.")
@json_option
def gc(
    config_file: Path | None,
    cache_dir: str | None,
    max_size: str | None,
    unused: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make room in the cache.

    Removes what nobody asked for in too long, then what is worth least until the size fits.
    """
    flags: dict[str, Any] = {"store.path": cache_dir, "store.max_size": max_size, "store.unused": unused}
    store = open_existing(load_config(config_file, flags))
    with errors_for_people(), _console().status("collecting") as status:

        def report(collected: Collected) -> None:
            status.update(
                f"collecting: {format_count(collected.entries, 'response')}, {format_size(collected.bytes)}"
            )

        # First, so that nothing counts as unused only because the clock was set.
        store.clock_changes.look()
        collected = store.space.collect(wait=_PATIENCE, dry_run=dry_run, progress=report) or Collected()
    if as_json:
        print_json(
            {"entries": collected.entries, "bytes": collected.bytes, "leftovers": collected.leftovers}
        )
        return
    click.echo(
        f"{'would remove' if dry_run else 'removed'} {format_count(collected.entries, 'stored response')}, "
        f"{format_size(collected.bytes)}; {format_count(collected.leftovers, 'leftover file')}"
    )


@click.command()
@click.option("--fix", is_flag=True, help="Remove what is damaged; it is fetched again when asked for.")
@json_option
@on_cache
def fsck(cache: Cache, fix: bool, as_json: bool) -> None:
    """Check every stored body.

    Reads all of them and compares them with their digests; a line for each problem.
    """
    store = cache.store
    found: list[_Damage] = []
    with errors_for_people(), Bar(console=_console(), transient=True) as bar:
        task = bar.add_task("checking", total=store.index.usage().blobs)
        for finding in store.fsck.check():
            bar.advance(task)
            if finding is not None:
                urls = (
                    store.listing.urls_of(finding.digest) if finding.entry is None else [finding.entry.key]
                )
                found.append(_Damage(finding, tuple(urls)))
                if fix:
                    store.fsck.fix(finding)
    if as_json:
        print_json(
            [
                {
                    "problem": one.finding.problem.name.lower(),
                    "sha256": one.finding.digest,
                    "urls": one.urls,
                    "fixed": fix,
                }
                for one in found
            ]
        )
    else:
        for one in found:
            path, problem = store.whole_bodies.file(one.finding.digest), one.finding.problem.value
            for about in one.urls or ("no URL",):
                click.echo(f"{about}: {problem}: {path}{' (removed)' if fix else ''}")
        click.echo(
            "clean" if not found else f"{format_count(len(found), 'problem')}{' fixed' if fix else ''}"
        )
    if found and not fix:
        raise SystemExit(PROBLEMS)


@dataclass(frozen=True, slots=True)
class _Damage:
    """A problem, and the URLs whose stored responses it concerns."""

    finding: Finding
    urls: tuple[str, ...]


def _console() -> Console:
    """A console for progress: standard error, silent unless that is a terminal."""
    return Console(stderr=True, quiet=not Console(stderr=True).is_terminal)
