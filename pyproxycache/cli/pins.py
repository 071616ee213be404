"""The commands `pin` and `unpin`: what stays in the cache, whatever room is needed."""

from __future__ import annotations

import click

from pyproxycache import clock
from pyproxycache.cli.common import (
    WRONG_USAGE,
    Cache,
    errors_for_people,
    fail,
    json_option,
    on_cache,
    print_json,
)
from pyproxycache.cli.inspect import nothing_matches
from pyproxycache.units import format_count


@click.command()
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@click.option("--pattern", is_flag=True, help="Each URL is a glob, as in '*.deb', for what is stored now.")
@json_option
@on_cache
def pin(cache: Cache, urls: tuple[str, ...], pattern: bool, as_json: bool) -> None:
    """Keep what is stored for URLs.

    It is not evicted, and not removed as unused. A URL that is not stored yet may be pinned, too.
    """
    pins, now = cache.store.pins, clock.wall()
    with errors_for_people():
        if pattern:
            count = sum(pins.pin_matching(url, now) for url in urls)
            _say_if_nothing_matches(cache, urls)
        else:
            count = pins.pin([cache.key(url) for url in urls], now)
    _say("pinned", count, as_json=as_json)


@click.command()
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option("--pattern", is_flag=True, help="Each URL is a glob, as in '*.deb'.")
@click.option("--all", "everything", is_flag=True, help="Unpin all there is.")
@json_option
@on_cache
def unpin(cache: Cache, urls: tuple[str, ...], pattern: bool, everything: bool, as_json: bool) -> None:
    """Let what is stored for URLs be evicted again."""
    if bool(urls) == everything:
        fail("unpin takes URLs (with --pattern, if wanted), or --all", WRONG_USAGE)
    pins = cache.store.pins
    with errors_for_people():
        if everything:
            count = pins.unpin_matching("*")
        elif pattern:
            count = sum(pins.unpin_matching(url) for url in urls)
        else:
            count = pins.unpin([cache.key(url) for url in urls])
    _say("unpinned", count, as_json=as_json)


def _say_if_nothing_matches(cache: Cache, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if next(iter(cache.store.listing.walk(pattern)), None) is None:
            click.echo(nothing_matches(pattern), err=True)


def _say(what: str, count: int, *, as_json: bool) -> None:
    if as_json:
        print_json({what: count})
    else:
        click.echo(f"{what} {format_count(count, 'URL')}")
