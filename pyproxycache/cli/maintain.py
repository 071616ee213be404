"""`purge`, `gc` and `fsck`: make things go, and check what is there."""

from __future__ import annotations

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
from pyproxycache.store.fsck import Finding
from pyproxycache.store.space import Collected
from pyproxycache.units import format_size


@click.command()
@click.argument("urls", metavar="URL...", nargs=-1)
@click.option("--prefix", is_flag=True, help="Each URL stands for all that begin with it.")
@click.option("--pattern", is_flag=True, help="Each URL is a glob, as in '*/simple/*'.")
@click.option("--all", "everything", is_flag=True, help="Purge all there is.")
@json_option
@on_cache
def purge(
    cache: Cache, urls: tuple[str, ...], prefix: bool, pattern: bool, everything: bool, as_json: bool
) -> None:
    """Forget stored responses; the next request on any worker fetches anew."""
    if bool(urls) == everything or (prefix and pattern) or (everything and (prefix or pattern)):
        fail("purge takes URLs (with --prefix or --pattern, if wanted), or --all", WRONG_USAGE)
    store = cache.store
    with errors_for_people():
        count = store.index.purge(_purged_keys(cache, urls, prefix, pattern, everything))
        while store.index.drop_unnamed(store.blobs.remove):
            pass
    if as_json:
        print_json({"purged": count})
    else:
        click.echo(f"purged {count} stored responses")


def _purged_keys(
    cache: Cache, urls: tuple[str, ...], prefix: bool, pattern: bool, everything: bool
) -> list[str]:
    index = cache.store.index
    if everything:
        return index.keys()
    if prefix:
        return [key for url in urls for key in index.keys(prefix=url)]
    if pattern:
        return [key for url in urls for key in index.keys(pattern=url)]
    return [cache.key(url) for url in urls]


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
    """Remove what is unused for too long, then the least recently used until the size fits."""
    flags: dict[str, Any] = {"store.path": cache_dir, "store.max_size": max_size, "store.unused": unused}
    store = open_existing(load_config(config_file, flags))
    with errors_for_people(), _console().status("collecting") as status:

        def report(collected: Collected) -> None:
            status.update(f"collecting: {collected.entries} responses, {format_size(collected.bytes)}")

        collected = store.space.collect(wait=True, dry_run=dry_run, progress=report) or Collected()
    if as_json:
        print_json(
            {"entries": collected.entries, "bytes": collected.bytes, "leftovers": collected.leftovers}
        )
        return
    click.echo(
        f"{'would remove' if dry_run else 'removed'} {collected.entries} stored responses, "
        f"{format_size(collected.bytes)}; {collected.leftovers} leftover files"
    )


@click.command()
@click.option("--fix", is_flag=True, help="Remove what is damaged; it is fetched again when asked for.")
@json_option
@on_cache
def fsck(cache: Cache, fix: bool, as_json: bool) -> None:
    """Check that every stored response has its whole body."""
    store = cache.store
    found: list[Finding] = []
    with errors_for_people(), Bar(console=_console(), transient=True) as bar:
        task = bar.add_task("checking", total=store.index.usage().blobs)
        for finding in store.fsck.check():
            bar.advance(task)
            if finding is not None:
                found.append(finding)
                if fix:
                    store.fsck.fix(finding)
    if as_json:
        print_json([{"problem": one.problem.value, "sha256": one.digest, "fixed": fix} for one in found])
    else:
        for one in found:
            path = store.blobs.path(one.digest)
            click.echo(f"{path}: {one.problem.value}{' (removed)' if fix else ''}")
        click.echo("clean" if not found else f"{len(found)} problems{' fixed' if fix else ''}")
    if found and not fix:
        raise SystemExit(PROBLEMS)


def _console() -> Console:
    """Progress goes to standard error, and only where that is a terminal."""
    return Console(stderr=True, quiet=not Console(stderr=True).is_terminal)
