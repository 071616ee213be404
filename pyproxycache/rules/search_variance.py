"""No-Vary-Search: the query parameters that do not select the response.

draft-ietf-httpbis-no-vary-search-10. `params` and `params, except=(…)`, as drafts up to -05 had them for
`except=()` and `except=(…)`, are accepted too, since origins send them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from pyproxycache.messages import Headers
from pyproxycache.rules.structured import parse_dictionary

Parameters = Sequence[tuple[str, str]]

# Queries are compared with those of each stored response, and clients choose their length.
_LONGEST_QUERY = 4096


@dataclass(frozen=True, slots=True)
class SearchVariance:
    """The query parameters that count, all but `ignored` or only `kept`, and whether their order does."""

    ignored: frozenset[str] = frozenset()
    kept: frozenset[str] | None = None
    ordered: bool = True


DEFAULT = SearchVariance()
"""Every character of the query counts."""


def search_variance(headers: Headers) -> SearchVariance:
    """The response's No-Vary-Search; DEFAULT if it is absent or invalid (section 5.1)."""
    text = headers.get("no-vary-search")
    if text is None:
        return DEFAULT
    return _remembered_variance(text) if len(text) <= _LONGEST_REMEMBERED else _variance(text)


def equivalent(one: str, other: str, headers: Headers) -> bool:
    """Whether the response with these headers, stored for one URL, answers the other too (section 6).

    URLs that differ are never equivalent if a query is longer than 4 KB.
    """
    if one == other:
        return True
    variance = search_variance(headers)
    if variance == DEFAULT:
        return False
    path, _mark, query = one.partition("?")
    other_path, _mark, other_query = other.partition("?")
    if path != other_path or max(len(query), len(other_query)) > _LONGEST_QUERY:
        return False
    return _significant(query, variance) == _significant(other_query, variance)


def search_base(key: str, headers: Headers) -> str:
    """The cache key without its query if the response answers other queries too, else ""."""
    if "no-vary-search" not in headers or search_variance(headers) == DEFAULT:
        return ""
    return key.partition("?")[0]


def _variance(text: str) -> SearchVariance:
    members = parse_dictionary(text)
    if members is None:
        return DEFAULT
    key_order = members.get("key-order", (False, {}))[0]
    if not isinstance(key_order, bool):
        return DEFAULT
    if "except" in members:
        kept = _names(members["except"][0])
        if kept is None or ("params" in members and members["params"][0] is not True):
            return DEFAULT
        return SearchVariance(kept=kept, ordered=not key_order)
    params = members.get("params", ([], {}))[0]
    if params is True:
        return SearchVariance(kept=frozenset(), ordered=not key_order)
    ignored = _names(params)
    return DEFAULT if ignored is None else SearchVariance(ignored, ordered=not key_order)


def _names(value: Any) -> frozenset[str] | None:
    """The parameter names in an inner list of Strings; None if it is anything else."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name, _parameters in value):
        return None
    return frozenset(_decoded(name) for name, _parameters in value)


def _significant(query: str, variance: SearchVariance) -> Parameters:
    """The parameters that count, in the order in which they are compared."""
    pieces = (piece.partition("=") for piece in query.split("&") if piece)
    parameters = ((_decoded(name), _decoded(value)) for name, _equals, value in pieces)
    if variance.kept is not None:
        significant = [item for item in parameters if item[0] in variance.kept]
    else:
        significant = [item for item in parameters if item[0] not in variance.ignored]
    # By name alone: the order of one name's values can mean something.
    return significant if variance.ordered else sorted(significant, key=lambda item: item[0])


def _decoded(text: str) -> str:
    """A name or value decoded from application/x-www-form-urlencoded; invalid UTF-8 becomes U+FFFD."""
    if "%" not in text and text.isascii():
        return text.replace("+", " ")
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


_LONGEST_REMEMBERED = 512
_remembered_variance = lru_cache(maxsize=1024)(_variance)
