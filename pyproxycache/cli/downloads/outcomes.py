"""What the cache's answers say of a download, in words for people."""

from __future__ import annotations

from dataclasses import dataclass

from urllib3.exceptions import IncompleteRead

from pyproxycache.errors import reason
from pyproxycache.rules.structured import parse_list

MOST_REDIRECTS = 10
"""How many redirects are followed."""


@dataclass(frozen=True, slots=True)
class Received:
    """The last answer after redirects, received to its end.

    `details` are those of Proxy-Status; `by_us`: it came through a pyproxycache; `mismatch` says which
    digest the body should have had, "" if it has it.
    """

    status: int
    bytes: int
    cache: str
    details: str = ""
    by_us: bool = True
    mismatch: str = ""


def why_not_stored(received: Received, cache: str) -> str:
    """Why the answer is not in the cache now, for the user; "" if it is."""
    if not received.by_us:
        return f"what answers at {cache} is no pyproxycache: name where one listens with --proxy"
    if received.status >= 400:
        details = f": {received.details}" if received.details else ""
        return f"status {received.status}{details}"
    if 300 <= received.status < 400:
        return f"more than {MOST_REDIRECTS} redirects, the last of them with status {received.status}"
    if received.mismatch:
        return received.mismatch
    said = last_params(received.cache)
    if {"hit", "stored", "collapsed"} & said.keys() or said.get("fwd-status") == 304:
        return ""
    why = f" ({said['detail']})" if "detail" in said else ""
    return f"downloaded, and not kept{why}: docs/operations.md says what helps"


def became(cache: str) -> str:
    """What the cache did, in a few words, by its Cache-Status."""
    said = last_params(cache)
    if "hit" in said:
        return "was there"
    if said.get("fwd-status") == 304:
        return "was there, and is confirmed"
    return "kept, by a download that was running" if "collapsed" in said else "kept"


def last_params(field: str) -> dict[str, object]:
    """The parameters of the list's last member, which the cache that was asked has added (RFC 9211)."""
    members = parse_list(field)
    return dict(members[-1][1]) if members else {}


def plain(failure: Exception) -> str:
    """The innermost cause of the error, without the errors that libraries wrap around it."""
    while failure.__context__ is not None and isinstance(failure.__context__, Exception):
        failure = failure.__context__
    if isinstance(failure, IncompleteRead):
        return f"after {failure.partial} bytes, {failure.expected} before the end"
    return reason(failure)
