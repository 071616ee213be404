"""The request fields that select among the entries of one cache key (RFC 9111 section 4.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyproxycache.messages import Entry, Headers, Request
from pyproxycache.rules.freshness import recency
from pyproxycache.rules.grammar import split_list
from pyproxycache.rules.negotiation import canonical
from pyproxycache.rules.search_variance import equivalent
from pyproxycache.statement import STATED

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")

FORWARDED = ("x-forwarded-host", "x-forwarded-proto")
"""Fields that tell the origin the address that the client used; origins put it into their answers."""

METHOD_OVERRIDES = frozenset({"x-http-method", "x-http-method-override", "x-method-override"})
"""Fields by which some origins take a request for one with another method."""
OVERRIDING = frozenset(
    (
        "forwarded",
        *(f"x-forwarded-{part}" for part in ("host", "path", "port", "prefix", "proto", "protocol")),
        *(f"x-forwarded-{part}" for part in ("scheme", "server", "ssl", "uri", "url")),
        *("front-end-https", "x-host", "x-http-host-override", "x-original-host", "x-url-scheme"),
        *("x-original-uri", "x-original-url", "x-rewrite-url"),
        *METHOD_OVERRIDES,
    )
)
"""Fields by which some origins take a request for one with another address, path or method.

They select the response, but few origins name them in Vary.
"""

_ADDRESS_IN_FORWARDED = re.compile(
    r"(?:^|[;,])[ \t]*+((?:host|proto)=(?:\"[^\"]*\"|[^\s;,\"]+))", re.IGNORECASE
)

_LONGEST_VARY = 2048
_MOST_VARY_NAMES = 64

CONTENT = "(content)"
"""Stands among field names for the content of a QUERY; it is no valid field name."""
OVERRIDES = "(overrides)"
"""Stands among field names for all fields of OVERRIDING together, so that there are few sets of names."""


def vary_fields(headers: Headers) -> tuple[str, ...] | None:
    """The names in Vary, lower case and sorted; None if no request can be known to select the response.

    That is so for "*", for members that are no field names, and for too many names (RFC 9110 section
    12.5.5).
    """
    vary = headers.get("vary")
    if vary is None:
        return ()
    if len(vary) > _LONGEST_VARY:
        return None
    names = {name.lower() for name in split_list(vary)}
    if len(names) > _MOST_VARY_NAMES:
        return None
    if "*" in names or not all(map(_FIELD_NAME.fullmatch, names)):
        return None
    return tuple(sorted(names))


def selecting_fields(
    request: Request, response_headers: Headers, known: frozenset[str] = frozenset()
) -> tuple[str, ...] | None:
    """The names that select the response: those in Vary, the implied ones, and CONTENT first for a QUERY.

    `known` are names that do by the policy, whatever Vary says. None if Vary does not say what selects it,
    as from vary_fields().
    """
    fields = vary_fields(response_headers)
    if fields is None:
        return None
    if implied := implied_fields(request) | known:
        fields = tuple(sorted({*fields, *implied}))
    return fields if request.content_key is None else (CONTENT, *fields)


def implied_fields(request: Request) -> frozenset[str]:
    """The names that select a response even if it does not name them in Vary.

    OVERRIDES if the request has such fields, FORWARDED if the cache adds those, and STATED if the mirror is
    not to give what others state.
    """
    implied = frozenset(FORWARDED if request.is_forwarded else ())
    if request.stated is not None:
        implied |= {STATED}
    return implied | {OVERRIDES} if _overrides(request) else implied


def _overrides(request: Request) -> str | None:
    """The request's fields of OVERRIDING as one text, without what differs for each client; None: none."""
    present = request.headers.among(OVERRIDING)
    if not present:
        return None
    if request.is_forwarded:
        present -= {"forwarded", *FORWARDED}  # the cache sends its own
    values = {name: request.headers.get(name) or "" for name in sorted(present)}
    if "forwarded" in values:
        values["forwarded"] = ";".join(_ADDRESS_IN_FORWARDED.findall(values["forwarded"])).lower()
    return "\n".join(f"{name}: {value}" for name, value in values.items() if value) or None


def vary_values(fields: Sequence[str], request: Request) -> tuple[tuple[str, str | None], ...]:
    """The names with the request's normalised values, None for a field it lacks (RFC 9111 section 4.1)."""
    return tuple((name, _value(name, request)) for name in fields)


def _value(name: str, request: Request) -> str | None:
    if name == CONTENT:
        return request.content_key
    if name == OVERRIDES:
        return _overrides(request)
    if name == STATED:
        return request.stated
    value = request.headers.get(name)
    return None if value is None else canonical(name, value)


def select(entries: Sequence[Entry], key: str, request: Request) -> list[Entry]:
    """The entries that fit the request, of this key or of an equivalent one.

    RFC 9111 section 4.1; keys are equivalent by No-Vary-Search.
    """
    return preferred(
        [
            entry
            for entry in entries
            if fits(entry, request) and (entry.key == key or equivalent(entry.key, key, entry.headers))
        ]
    )


def preferred(fitting: list[Entry]) -> list[Entry]:
    """The entries with Vary if there are any, else all: some origins send Vary only if it mattered.

    RFC 9111 section 4.1.
    """
    implied = {CONTENT, OVERRIDES, STATED, *FORWARDED}
    return [
        entry for entry in fitting if any(name not in implied for name, _value in entry.vary)
    ] or fitting


def newest(entries: Sequence[Entry]) -> Entry | None:
    """The entry with the most recent Date (RFC 9111 section 4); None if there are no entries."""
    return max(entries, key=recency, default=None)


def of_same_content(entry: Entry, request: Request) -> bool:
    """Whether both belong to a QUERY with the same content, or neither to a QUERY, and to a file alike."""
    values = dict(entry.vary)
    return values.get(CONTENT) == request.content_key and values.get(STATED) == request.stated


def fits(entry: Entry, request: Request) -> bool:
    """Whether the request selects the entry: it has the same values of the entry's selecting fields."""
    fields = [name for name, _value in entry.vary]
    return (
        of_same_content(entry, request)
        and entry.vary == vary_values(fields, request)
        and implied_fields(request).issubset(fields)
    )
