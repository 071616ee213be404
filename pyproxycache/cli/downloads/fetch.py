"""The command `fetch`: downloads URLs into the running cache."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click

from pyproxycache.cli.cache_session import check_reachable
from pyproxycache.cli.common import PROBLEMS, WRONG_USAGE, config_option, fail, json_option, print_json
from pyproxycache.cli.downloads.asked_cache import (
    asked_cache,
    check_mirror,
    jobs_option,
    mirrors_of,
    proxy_option,
)
from pyproxycache.cli.downloads.downloading import Order, OrderDownloads


@click.command()
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option(
    "-i",
    "--input",
    "files",
    type=click.File(),
    multiple=True,
    help="File with one URL a line, '-' for standard input.",
)
@click.option("--mirror", metavar="NAME", help="Each URL is a path below this mirror, as in simple/six/.")
@jobs_option
@proxy_option
@config_option
@json_option
def fetch(
    urls: tuple[str, ...],
    files: tuple[Iterable[str], ...],
    mirror: str | None,
    jobs: int,
    proxy: str | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    """Download URLs into the running cache.

    Each URL's line says what became of it; redirects are followed through the cache.
    """
    wanted = [*urls, *(line.strip() for file in files for line in file)]
    wanted = list(dict.fromkeys(url for url in wanted if url and not url.startswith("#")))
    if not wanted:
        fail(
            f"{'--input has no URLs' if files else 'no URLs'}: name some, or a file of them with --input",
            WRONG_USAGE,
        )
    address = asked_cache(proxy, config_file)
    check_reachable(address.cache)
    if mirror is not None:
        check_mirror(mirrors_of(proxy, config_file), mirror)
        if whole := next((url for url in wanted if "://" in url), None):
            fail(f"{whole} is no path below the mirror {mirror}, as in simple/six/", WRONG_USAGE)
    below = "" if mirror is None else f"/{mirror}/"
    orders = [Order(url, (f"{below}{url.lstrip('/')}" if below else url,)) for url in wanted]
    fetched = OrderDownloads(address, show=not as_json).run(orders, jobs)
    if as_json:
        print_json([asdict(one) for one in fetched])
    if any(one.error for one in fetched):
        sys.exit(PROBLEMS)
