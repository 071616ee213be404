"""Heads of answers whose bodies are not as their origins sent them: what is left out, and marked ETags."""

from __future__ import annotations

import hashlib
import re

from pyproxycache.messages import Headers
from pyproxycache.rules.grammar import split_list

OF_THE_BODY = frozenset(
    {
        "content-length",
        "content-encoding",
        "content-digest",
        "repr-digest",
        "content-md5",
        "digest",
        "accept-ranges",
        "content-base",
    }
)
"""Fields that tell of the bytes of a body, in lower case: not of those that are shown in its place."""

# An ETag of our own: that of the origin, a tilde, and the mark.
_SHOWN = re.compile(r'((?:W/)?"[^"]*)~([0-9a-f]{8})"')
_CONDITIONS = ("If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range")


def mark_of(*parts: str) -> str:
    """The mark of bodies that depend on these parts, such as the address that links begin with."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def split_mark(tag: str) -> tuple[str, str]:
    """The origin's tag, and the mark that it is shown with; "" if it has none."""
    shown = _SHOWN.fullmatch(tag)
    return (tag, "") if shown is None else (f'{shown[1]}"', shown[2])


def with_mark(headers: Headers, mark: str) -> Headers:
    """The fields of a response, with the mark in its ETag."""
    tag = headers.get("etag")
    if tag is None or not tag.endswith('"') or len(tag) < 2:
        return headers.without("ETag")
    return headers.with_field("ETag", f'{tag[:-1]}~{mark}"')


def as_origins(headers: Headers, mark: str) -> Headers:
    """The fields of a request, with conditions on the origin's ETags alone.

    Tags with another mark are left out, as those bodies were others; so are conditions on times, which do
    not change with what is shown.
    """
    tags = split_list(headers.get("if-none-match") or "")
    headers = headers.without(*_CONDITIONS)
    found = [shown[1] + '"' for tag in tags if (shown := _SHOWN.fullmatch(tag)) and shown[2] == mark]
    return headers.with_field("If-None-Match", ", ".join(found)) if found else headers
