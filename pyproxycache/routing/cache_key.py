"""What a stored response is found by: its URL, the query as the operator has it."""

from __future__ import annotations


def origin_of(cache_key: str) -> str:
    """Scheme and authority of the URL that the key begins with (RFC 9110 section 4.3.1)."""
    return "/".join(cache_key.split("/", 3)[:3])
