"""The commands `ls`, `show` and `stats`: what is stored, and how it was used."""

from __future__ import annotations

import sys
import time
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
    printable,
)
from pyproxycache.messages import Entry, Headers, Part, Request
from pyproxycache.report.counters import hit_ratio
from pyproxycache.report.events.progress import unsent_bytes
from pyproxycache.rules.reuse import freshness_left
from pyproxycache.rules.urls import parse_url
from pyproxycache.store.index.listing import AccessNote, Listed
from pyproxycache.store.upkeep.verifying import present_round
from pyproxycache.units import format_age, format_count, format_duration, format_size
from pyproxycache.wiring.events import events_folder

_SHOWN = 10


@click.command()
@click.argument("pattern", default="*")
@json_option
@on_cache
def ls(cache: Cache, pattern: str, as_json: bool) -> None:
    """List what is stored.

    A line for each URL that matches PATTERN, a glob for the whole URL as in '*.deb': status, size, time
    since it was last used, how often it came from the cache, URL. The least recently used one comes first.
    """
    with errors_for_people():
        if as_json:
            print_json_list(_summary(access) for access in cache.store.listing.walk(pattern))
            return
        now, listed = clock.wall(), 0
        for url in cache.store.listing.urls(pattern):
            if not listed and sys.stdout.isatty():
                click.echo(f"HTTP {'SIZE':>9} {'USED':>5} {'HITS':>6} URL", err=True)
            listed += 1
            used = format_age(max(0.0, now - url.accessed))
            size, extent = format_size(url.size), _extent(url)
            click.echo(f"{url.status} {size:>10} {used:>5} {url.hits:>5}x {url.key}{extent}")
        if not listed:
            click.echo(nothing_matches(pattern), err=True)


def nothing_matches(pattern: str) -> str:
    """What is said of a pattern that matches nothing stored, with how patterns are written."""
    if pattern == "*":
        return "nothing is stored yet"
    hint = "PATTERN is a glob for the whole URL"
    if pattern and not set(pattern) & set("*?["):
        hint += f", as in '*{pattern}*'"
    return f"nothing that is stored matches {pattern!r}: {hint}"


def _extent(url: Listed) -> str:
    """What a URL's line adds if there are several variants, or parts, or a pin; else ""."""
    notes = []
    if url.variants > 1:
        notes.append(f"{url.variants} variants")
    if url.parts == 1 and url.part is not None:
        notes.append(_bytes(url.part))
    elif url.parts:
        notes.append(format_count(url.parts, "part"))
    if url.is_pinned:
        notes.append("pinned")
    return f"  ({', '.join(notes)})" if notes else ""


@click.command()
@click.argument("url")
@json_option
@on_cache
def show(cache: Cache, url: str, as_json: bool) -> None:
    """Show what is stored for URL.

    Head, times, and where the body lies; of several variants or parts the newest comes first.
    """
    store, key = cache.store, cache.key(url)
    with errors_for_people():
        found = store.listing.accesses(key)
    if not found:
        fail(f"nothing is stored for {key}", PROBLEMS)
    now = clock.wall()
    if as_json:
        print_json([_details(cache, access, now) for access in found])
        return
    for access in found[:_SHOWN]:
        _show(cache, access, now)
    if found[_SHOWN:]:
        click.echo(f"and {len(found) - _SHOWN} more; --json shows them all")


def _show(cache: Cache, access: AccessNote, now: float) -> None:
    entry = access.entry
    click.echo(f"{entry.key}\n{entry.status} {printable(entry.head.reason)}")
    for name, value in entry.headers:
        click.echo(f"  {name}: {printable(value)}")
    lines = {
        "freshness": _freshness(cache, access, now),
        "received": _when(entry.response_time, now),
        "last used": f"{_when(access.accessed, now)}, {format_count(access.hits, 'hit')}",
        "size": f"{format_size(entry.size)} ({entry.size} bytes)",
        "vary": ", ".join(name if value is None else f"{name}: {value}" for name, value in entry.vary),
        "part": _bytes(entry.part) if entry.part is not None else "",
        "groups": ", ".join(entry.groups),
        "pinned": "it is not evicted" if access.is_pinned else "",
        "from": entry.peer,
        "sha256": entry.digest,
        "file": str(cache.store.whole_bodies.file(entry.digest)),
    }
    for name, value in lines.items():
        if value:
            click.echo(f"{name}: {printable(value)}")


def _freshness(cache: Cache, access: AccessNote, now: float) -> str:
    """How long the entry is fresh for a plain GET, in words."""
    left = _fresh_for(cache, access.entry, now)
    if left > 0:
        return f"fresh for {format_duration(left)} more"
    return "stale: the origin is asked before it is used"


def _fresh_for(cache: Cache, entry: Entry, now: float) -> float:
    """Seconds for which the entry is fresh for a plain GET; not positive if it is stale."""
    url = parse_url(entry.key)
    return freshness_left(Request("GET", url, Headers()), entry, cache.policies.about(url), now)


def _when(moment: float, now: float) -> str:
    """The moment (epoch seconds) in local time, and how long ago that is."""
    text = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(moment))
    if moment > now:
        return f"{text} (in the future: the clock was set back)"
    return f"{text} ({format_duration(now - moment)} ago)"


@click.command()
@json_option
@on_cache
def stats(cache: Cache, as_json: bool) -> None:
    """Show figures of the cache since it was made."""
    store = cache.store
    with errors_for_people():
        usage, counters = store.index.usage(), store.index.counters()
        running = len(store.claims.running())
        verified = present_round(store.index).share
        waiting = unsent_bytes(events_folder(cache.config.store.path))
    figures: dict[str, Any] = {
        "entries": usage.entries,
        "blobs": usage.blobs,
        "bytes": usage.bytes,
        "downloading": running,
        "verified": round(verified, 4),
        "hit_ratio": round(hit_ratio(counters), 4),
        "events_waiting": waiting,
        "counters": counters,
    }
    if as_json:
        print_json(figures)
        return
    table = Table(show_header=False, box=None)
    table.add_row("entries", str(usage.entries))
    table.add_row("bodies", f"{usage.blobs}, {format_size(usage.bytes)}")
    table.add_row("downloading", str(running))
    table.add_row("verified in this round", f"{100 * verified:.1f} %")
    table.add_row("answered without a download", f"{100 * hit_ratio(counters):.1f} %")
    if waiting or cache.config.events is not None:
        table.add_row("events that wait to be sent", format_size(waiting))
    for name, value in sorted(counters.items()):
        table.add_row(name, format_size(value) if name.startswith("bytes.") else str(value))
    Console().print(table)


def _bytes(part: Part) -> str:
    """The part as Content-Range writes it (RFC 9110 section 14.4)."""
    return f"bytes {part.start}-{part.end}/{'*' if part.total is None else part.total}"


def _summary(access: AccessNote) -> dict[str, Any]:
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
        "pinned": access.is_pinned,
    }


def _details(cache: Cache, access: AccessNote, now: float) -> dict[str, Any]:
    entry = access.entry
    return {
        **_summary(access),
        "headers": list(entry.headers),
        "requested": entry.request_time,
        "received": entry.response_time,
        "fresh_for": round(_fresh_for(cache, entry, now), 3),
        "kisscache_ttl": entry.ttl,
        "from": entry.peer,
        "sha256": entry.digest,
        "file": str(cache.store.whole_bodies.file(entry.digest)),
    }
