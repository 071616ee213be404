"""Cache keys: what can be read out of one."""

from __future__ import annotations


def origin_of(cache_key: str) -> str:
    """The origin (scheme and authority) with which the cache key begins (RFC 9110 section 4.3.1)."""
    return "/".join(cache_key.split("/", 3)[:3])
