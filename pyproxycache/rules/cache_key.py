"""The cache key: the text that entries are found by, made of the URL (RFC 9111 section 2)."""

from __future__ import annotations

from enum import Enum

from pyproxycache.url import Url


class QueryMode(Enum):
    """How the query enters the cache key: as it is, sorted by name, or not at all."""

    KEEP = "keep"
    SORT = "sort"
    IGNORE = "ignore"


def cache_key(url: Url, query_mode: QueryMode) -> str:
    """The cache key: the URL with its query kept, sorted by name, or left out."""
    text = str(url)
    if query_mode is QueryMode.KEEP or url.query is None:
        return text
    base = text.partition("?")[0]
    if query_mode is QueryMode.IGNORE:
        return base
    # Sorted by name alone: the order of one name's values can mean something.
    parts = sorted(url.query.split("&"), key=lambda part: part.partition("=")[0])
    return f"{base}?{'&'.join(parts)}"
