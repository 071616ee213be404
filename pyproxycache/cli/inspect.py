"""`ls`, `show` and `stats`: what is stored, and what it was good for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pyproxycache import clock
from pyproxycache.cli.common import (
    PROBLEMS,
    Cache,
    errors_for_people,
    fail,
    json_option,
    on_cache,
    print_json,
    print_json_list,
)
from pyproxycache.messages import Part
from pyproxycache.report.counters import hit_ratio
from pyproxycache.store.index import Access
from pyproxycache.store.listing import Listed
from pyproxycache.units import format_age, format_size
from pyproxycache.wiring import Store

_SHOWN = 10


@click.command()
@click.argument("pattern", default="*")
@json_option
@on_cache
def ls(cache: Cache, pattern: str, as_json: bool) -> None:
    """List the URLs that match PATTERN (a glob) and have stored responses, least recently used first."""
    with errors_for_people():
        if as_json:
            print_json_list(_summary(access) for access in cache.store.index.walk(pattern))
            return
        now = clock.wall()
        for url in cache.store.index.urls(pattern):
            used = format_age(max(0.0, now - url.accessed))
            size, extent = format_size(url.size), _extent(url)
            click.echo(f"{url.status} {size:>10} {used:>5} {url.hits:>5}x {url.key}{extent}")


def _extent(url: Listed) -> str:
    """What a URL's line adds where there is more, or less, than one whole response."""
    told = []
    if url.variants > 1:
        told.append(f"{url.variants} variants")
    if url.parts == 1 and url.part is not None:
        told.append(_bytes(url.part))
    elif url.parts:
        told.append("1 part" if url.parts == 1 else f"{url.parts} parts")
    return f"  ({', '.join(told)})" if told else ""


@click.command()
@click.argument("url")
@json_option
@on_cache
def show(cache: Cache, url: str, as_json: bool) -> None:
    """Show what is stored for URL, the newest first: head, times, and where the body lies."""
    store, key = cache.store, cache.key(url)
    with errors_for_people():
        found = store.index.accesses(key)
    if not found:
        fail(f"nothing is stored for {key}", PROBLEMS)
    if as_json:
        print_json([_details(store, access) for access in found])
        return
    for access in found[:_SHOWN]:
        _show(store, access)
    if found[_SHOWN:]:
        click.echo(f"and {len(found) - _SHOWN} more; --json shows them all")


def _show(store: Store, access: Access) -> None:
    entry = access.entry
    click.echo(f"{entry.key}\n{entry.status} {entry.head.reason}")
    for name, value in entry.headers:
        click.echo(f"  {name}: {value}")
    told = _details(store, access)
    told["vary"] = ", ".join(name if value is None else f"{name}: {value}" for name, value in entry.vary)
    told["part"] = _bytes(entry.part) if entry.part is not None else ""
    told["groups"] = ", ".join(entry.groups)
    for name, value in told.items():
        if name not in ("url", "headers", "status") and value not in ("", None):
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


def _bytes(part: Part) -> str:
    """As in Content-Range (RFC 9110 section 14.4)."""
    return f"bytes {part.start}-{part.end}/{'*' if part.total is None else part.total}"


def _summary(access: Access) -> dict[str, Any]:
    entry = access.entry
    return {
        "url": entry.key,
        "status": entry.status,
        "size": entry.size,
        "vary": dict(entry.vary),
        "part": asdict(entry.part) if entry.part is not None else None,
        "groups": entry.groups,
        "accessed": access.accessed,
        "hits": access.hits,
    }


def _details(store: Store, access: Access) -> dict[str, Any]:
    entry = access.entry
    return {
        **_summary(access),
        "headers": list(entry.headers),
        "requested": entry.request_time,
        "received": entry.response_time,
        "ttl": entry.ttl,
        "from": entry.peer,
        "sha256": entry.digest,
        "file": str(store.blobs.path(entry.digest)),
    }
