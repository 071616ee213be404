"""The values of a request that a limit counts by, in forms in which equal ones are equal texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_plus

from msgspec import Struct

from pyproxycache.gates.limits.client_behind import ClientBehind
from pyproxycache.messages import Headers
from pyproxycache.net.ip_addresses import client_of
from pyproxycache.route_options.limits import LimitedBy

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class LimitedRequest(Struct, frozen=True, gc=False):
    """What of a request limits may count by: `token` is what introspection has found of its token."""

    client: str
    headers: Headers
    query: str | None = None
    token: Mapping[str, Any] = _NOTHING


Values = Callable[[LimitedRequest], Iterable[str]]
"""Gives a request's values: none if it has none, and all of them if it has several.

Which of several the upstream goes by is unknown, so that all are counted: else a client could put one
that nobody has before its own.
"""


def values_by(by: LimitedBy, client_behind: ClientBehind) -> Values:
    """What gives the values of a request by which such a limit counts."""
    name = by.name
    if by.kind == "client":
        return lambda request: (client_of(client_behind(request.client, request.headers)),)
    if by.kind == "header":
        read = _credentials if name in ("authorization", "proxy-authorization") else str.strip
        return lambda request: map(read, request.headers.lines(name))
    if by.kind == "cookie":
        return lambda request: _cookies(request.headers.lines("cookie"), name)
    if by.kind == "query":
        return lambda request: _parameters(request.query, name)
    return lambda request: _fields(request.token, name)


def _credentials(value: str) -> str:
    """The token of Bearer, which other requests may bring otherwise; else scheme and credentials."""
    scheme, _blank, rest = value.strip().partition(" ")
    scheme, rest = scheme.lower(), rest.strip()
    return rest if scheme == "bearer" else f"{scheme} {rest}"


def _cookies(lines: Iterable[str], name: str) -> Iterator[str]:
    for line in lines:
        for pair in line.split(";"):
            found, is_there, value = pair.partition("=")
            if is_there and found.strip() == name:
                yield value.strip().strip('"')


def _parameters(query: str | None, name: str) -> Iterator[str]:
    for pair in (query or "").split("&"):
        found, _is_there, value = pair.partition("=")
        if found == name or (("%" in found or "+" in found) and unquote_plus(found) == name):
            yield unquote_plus(value)


def _fields(token: Mapping[str, Any], name: str) -> Iterator[str]:
    value = token.get(name)
    if isinstance(value, str):
        yield value
    elif value is not None:
        yield json.dumps(value, sort_keys=True)
