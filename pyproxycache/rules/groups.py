"""Cache groups: the groups that a response belongs to, and those that it invalidates (RFC 9875)."""

from __future__ import annotations

from itertools import islice

from pyproxycache.messages import Head, Headers
from pyproxycache.rules.structured import parse_list
from pyproxycache.rules.validation import SAFE_METHODS

# RFC 9875 asks for at least 32 groups of 32 characters; what exceeds these limits is ignored.
_MOST_GROUPS = 128
_LONGEST_GROUP = 256


def cache_groups(headers: Headers) -> tuple[str, ...]:
    """The groups that the response belongs to; they are its origin's (RFC 9875 section 2)."""
    return _groups(headers, "cache-groups")


def invalidated_groups(method: str, head: Head) -> tuple[str, ...]:
    """The groups of its origin that the answer to this method invalidates (RFC 9875 section 3).

    Empty for a safe method; the answer may have any status.
    """
    return () if method in SAFE_METHODS else _groups(head.headers, "cache-group-invalidation")


def _groups(headers: Headers, name: str) -> tuple[str, ...]:
    """The Strings in the field, each once; empty if it is not a list of Strings (RFC 9651 section 2.2)."""
    text = headers.get(name)
    members = (parse_list(text) or ()) if text else ()
    if not all(isinstance(group, str) for group, _parameters in members):
        return ()
    short = dict.fromkeys(group for group, _parameters in members if len(group) <= _LONGEST_GROUP)
    return tuple(islice(short, _MOST_GROUPS))
