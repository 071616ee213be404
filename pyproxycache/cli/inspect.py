"""`ls`, `show` and `stats`: what is stored, and what it was good for."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pyproxycache.cli.common import (
    PROBLEMS,
    Cache,
    errors_for_people,
    fail,
    json_option,
    on_cache,
    print_json,
)
from pyproxycache.report.counters import hit_ratio
from pyproxycache.store.index import Access
from pyproxycache.units import format_age, format_size
from pyproxycache.wiring import Store


@click.command()
@click.argument("pattern", default="*")
@json_option
@on_cache
def ls(cache: Cache, pattern: str, as_json: bool) -> None:
    """List stored responses whose URL matches PATTERN (a glob), least recently used first."""
    with errors_for_people():
        found = list(cache.store.index.walk(pattern))
    if as_json:
        print_json([_summary(access) for access in found])
        return
    now = time.time()
    for access in found:
        entry = access.entry
        used = format_age(max(0.0, now - access.accessed))
        click.echo(f"{entry.status} {format_size(entry.size):>10} {used:>5} {access.hits:>5}x {entry.key}")


@click.command()
@click.argument("url")
@json_option
@on_cache
def show(cache: Cache, url: str, as_json: bool) -> None:
    """Show what is stored for URL: head, times, and where the body lies."""
    store, key = cache.store, cache.key(url)
    with errors_for_people():
        found = [access for access in store.index.walk(_literal(key)) if access.entry.key == key]
    if not found:
        fail(f"nothing is stored for {key}", PROBLEMS)
    if as_json:
        print_json([_details(store, access) for access in found])
        return
    for access in found:
        entry = access.entry
        click.echo(f"{entry.key}\n{entry.status} {entry.head.reason}")
        for name, value in entry.headers:
            click.echo(f"  {name}: {value}")
        for name, value in _details(store, access).items():
            if name not in ("url", "headers", "status"):
                click.echo(f"{name}: {value}")


@click.command()
@json_option
@on_cache
def stats(cache: Cache, as_json: bool) -> None:
    """Figures of the cache since it was made."""
    store = cache.store
    with errors_for_people():
        usage, counters = store.index.usage(), store.index.counters()
        running = len(store.claims.running())
    figures: dict[str, Any] = {
        "entries": usage.entries,
        "blobs": usage.blobs,
        "bytes": usage.bytes,
        "downloading": running,
        "hit_ratio": round(hit_ratio(counters), 4),
        "counters": counters,
    }
    if as_json:
        print_json(figures)
        return
    table = Table(show_header=False, box=None)
    table.add_row("entries", str(usage.entries))
    table.add_row("bodies", f"{usage.blobs}, {format_size(usage.bytes)}")
    table.add_row("downloading", str(running))
    table.add_row("answered without a download", f"{100 * hit_ratio(counters):.1f} %")
    for name, value in sorted(counters.items()):
        table.add_row(name, format_size(value) if name.startswith("bytes.") else str(value))
    Console().print(table)


def _literal(text: str) -> str:
    """The text as a glob that matches it alone."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)


def _summary(access: Access) -> dict[str, Any]:
    entry = access.entry
    return {
        "url": entry.key,
        "status": entry.status,
        "size": entry.size,
        "accessed": access.accessed,
        "hits": access.hits,
    }


def _details(store: Store, access: Access) -> dict[str, Any]:
    entry = access.entry
    return {
        **_summary(access),
        "headers": list(entry.headers),
        "vary": dict(entry.vary),
        "requested": entry.request_time,
        "received": entry.response_time,
        "ttl": entry.ttl,
        "from": entry.peer,
        "sha256": entry.digest,
        "file": str(store.blobs.path(entry.digest)),
    }
