"""Cache groups: which group a response belongs to, and which ones a response makes invalid (RFC 9875)."""

from __future__ import annotations

from itertools import islice

from pyproxycache.messages import Head, Headers
from pyproxycache.rules.structured import parse_list
from pyproxycache.rules.validation import SAFE_METHODS

# At least 32 of 32 characters have to be supported; what is beyond these limits is left out.
_MOST_GROUPS = 128
_LONGEST_GROUP = 256


def cache_groups(headers: Headers) -> tuple[str, ...]:
    """The groups that the response belongs to, among those of its origin (section 2)."""
    return _groups(headers, "cache-groups")


def invalidated_groups(method: str, head: Head) -> tuple[str, ...]:
    """The groups of its origin that the answer to this method makes invalid (section 3).

    None for a safe method; the status does not matter, for the origin names them for this very answer.
    """
    return () if method in SAFE_METHODS else _groups(head.headers, "cache-group-invalidation")


def _groups(headers: Headers, name: str) -> tuple[str, ...]:
    """The field's Strings, each once; none where it is no list of Strings alone (RFC 9651 section 2.2)."""
    text = headers.get(name)
    members = (parse_list(text) or ()) if text else ()
    if not all(isinstance(group, str) for group, _parameters in members):
        return ()
    short = dict.fromkeys(group for group, _parameters in members if len(group) <= _LONGEST_GROUP)
    return tuple(islice(short, _MOST_GROUPS))
