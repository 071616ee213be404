"""How the values of routes are written in the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from pyproxycache.configuration.refusals import refusal
from pyproxycache.configuration.secrets import read_secret, read_text_with_secrets
from pyproxycache.route_options.around import MaintenanceOptions
from pyproxycache.route_options.route import RouteOptions
from pyproxycache.rules.grammar import HOP_BY_HOP

_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)(?:\.[A-Za-z0-9_-]+)*")
_PATH = re.compile(r"/[!-~]*")
_UNROUTED = re.compile(r"[?#%;\\]|//|/\.{1,2}(?:/|$)")
_TARGET = re.compile(r"/[!-\"$-~]*")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)%")
_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REPLACEMENT = re.compile(r"[!-\"$->@-~]*")
_PAGE_ORIGIN = re.compile(
    r"https?://(?:\*\.)?(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)
_MEDIA_TYPE = re.compile(r"[!#$&'*+.^_`|~0-9A-Za-z-]+/[!#$&'*+.^_`|~0-9A-Za-z-]+")
_NOT_CHANGED = HOP_BY_HOP | {
    *("content-length", "content-encoding", "content-range", "host", "expect", "max-forwards"),
    *("range", "if-range", "via", "age", "date", "cache-status"),
}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"})
# Nobody writes these but to let somebody in.
_SECRET = frozenset({"authorization", "cookie"})


def read_route_path(value: Any) -> str:
    """A path of this cache, plain: decoded, and without segments that lead upward."""
    if not isinstance(value, str) or not _PATH.fullmatch(value) or _UNROUTED.search(value):
        raise refusal(
            value, "a path from the first slash on, without ?, #, %, ;, // and .., as in /api/v1/"
        )
    return value


def read_host_name(value: Any) -> str:
    """A host name, in lower case."""
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise refusal(value, "a host name without a port, as in api.example.net")
    return value.lower()


def read_method(value: Any) -> str:
    """A request method, which is told by case."""
    if not isinstance(value, str) or not _METHOD.fullmatch(value):
        raise refusal(value, "a request method, as in GET")
    if value.upper() in _METHODS and value not in _METHODS:
        raise refusal(value, f"a request method, as case counts: write {value.upper()}")
    if value == "CONNECT":
        raise refusal(value, "a method of routes: a gateway opens no tunnels")
    return value


def caching_problems(route: RouteOptions) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with how a route caches and refreshes, as keys below it and a text."""
    options, every = route.cache, route.refresh.every
    if every is not None and options.ttl is not None and every >= options.ttl and not options.sliding:
        text = (
            f"{every:g}s is not less than the 'ttl' of {options.ttl:g}s, after which it is stale: name less"
        )
        yield ("refresh", "every"), text
    if options.sliding and options.ttl is None:
        yield ("cache", "sliding"), "true is accepted only with a 'ttl' that accesses prolong: set one"
    if options.sliding and options.ttl is not None and options.longest < options.ttl:
        text = (
            f"{options.longest:g}s is less than the 'ttl' of {options.ttl:g}s, which no answer would reach:"
            " name more, or a shorter 'ttl'"
        )
        yield ("cache", "longest"), text
    introspect = route.introspect
    if introspect is not None and introspect.forward_token and options.key.query == "ignore":
        by_query = any(place.kind == "query" for place in introspect.token)
        if by_query and introspect.pass_on is None and options.key.headers is None:
            text = (
                "'ignore' is not accepted where the upstream gets tokens by the query, as one client would"
                " get another's answer: set introspect.forward_token: false, or introspect.pass_on"
            )
            yield ("cache", "key", "query"), text


def read_changed_field(value: Any) -> str:
    """A header field that routes may change, in lower case: none of framing, the connection or caching."""
    if not isinstance(value, str) or not _METHOD.fullmatch(value):
        raise refusal(value, "a header field's name, as in x-frame-options")
    if value.lower() in _NOT_CHANGED:
        raise refusal(value, "a header field that routes may change: it is about framing or the connection")
    return value.lower()


def read_named_field(value: Any) -> str:
    """A header field's name as browsers are told it, or * for all."""
    if not isinstance(value, str) or not _METHOD.fullmatch(value):
        raise refusal(value, "a header field's name, as in content-type, or *")
    return value


def read_header_value(value: Any) -> str:
    """A header field's value, in which references may stand for secrets."""
    text = read_text_with_secrets(value)
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise refusal(
            value, "a header field's value: printable ASCII in one line, without blanks around it"
        )
    return text


def read_path_replacement(value: Any) -> str:
    """What takes the place of a part of a path."""
    if not isinstance(value, str) or not _REPLACEMENT.fullmatch(value):
        raise refusal(value, r"a part of a path, without ?, # and blanks, as in /v2/\1")
    return value


def read_page_origin(value: Any) -> str:
    """The origin of pages, in lower case; a star stands for what is before a domain, or for any origin."""
    if not isinstance(value, str) or not (value == "*" or _PAGE_ORIGIN.fullmatch(value.lower())):
        accepted = "an origin as browsers send it: https://app.example.net, https://*.example.net, or *"
        raise refusal(value, accepted)
    return value.lower()


def read_media_type(value: Any) -> str:
    """A media type, in lower case; stars stand for parts of it."""
    if not isinstance(value, str) or not _MEDIA_TYPE.fullmatch(value):
        raise refusal(value, "a media type, as in text/* or application/*+json")
    return value.lower()


def read_error_status(value: Any) -> int:
    """A status that tells of an error."""
    status = int(value) if isinstance(value, str) and value.isdecimal() and value.isascii() else value
    if not isinstance(status, int) or isinstance(status, bool) or not 400 <= status <= 599:
        raise refusal(value, "a status from 400 to 599")
    return status


def around_problems(
    path: str, options: RouteOptions, passed_on: AbstractSet[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with what a route does around its requests: the place of each below it, and a text.

    `passed_on` are the fields by which upstreams are told of tokens, on any route.
    """
    changes = options.headers.request
    for name in sorted(
        passed_on & {*changes.set, *changes.remove, *changes.rename, *changes.rename.values()}
    ):
        yield ("headers", "request"), f"{name!r} is not accepted: it is what introspection alone sets"
    for key in ("request", "response"):
        renamed = getattr(options.headers, key).rename
        for old, new in renamed.items():
            if old == new or list(renamed.values()).count(new) > 1:
                text = f"{new!r} is the new name of several fields, or its old one: name another"
                yield ("headers", key, "rename", old), text
    rewriting, cors = options.path, options.cors
    prefix = (rewriting.strip or "").rstrip("/")
    if prefix and not f"{path}/".startswith(f"{prefix}/"):
        yield (
            ("path", "strip"),
            f"{prefix!r} is not what the route's path begins with, {path}",
        )
    for number, one in enumerate(rewriting.replace):
        try:
            re.compile(f"{one.pattern.pattern}|").sub(one.text, "")
        except (re.error, IndexError) as error:
            yield ("path", "replace", number, "with"), f"{one.text!r} does not fit the pattern: {error}"
    if cors is not None and not cors.origins:
        yield ("cors", "origins"), "[] is not accepted: name an origin at least, or * for any"
    if cors is not None and cors.credentials:
        for key in ("origins", "methods", "headers", "expose"):
            if "*" in getattr(cors, key):
                yield ("cors", key), "'*' is not accepted with 'credentials': name those that may have them"
    if options.compress is not None and not options.compress.codings:
        yield ("compress", "codings"), "[] is not accepted: leave 'compress' out"
    instead = options.maintenance
    if instead is not None and instead.file is not None and instead.body != MaintenanceOptions().body:
        yield ("maintenance", "body"), "is not accepted beside 'file': leave one out"
    for key in ("request", "response"):
        changes = getattr(options.headers, key)
        for name in _SECRET.intersection(changes.set):
            try:
                read_secret(changes.set[name])
            except ValueError as error:
                yield ("headers", key, "set", name), str(error)


def read_health_path(value: Any) -> str:
    """The path that health checks ask for, perhaps with a query."""
    if not isinstance(value, str) or not _TARGET.fullmatch(value):
        raise refusal(value, "a path from the first slash on, as in /health")
    return value


def read_percent(value: Any) -> float:
    """A share of all, from 0% to 100%."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found is None or float(found[1]) > 100:
        raise refusal(value, "a share of all, as in 20%")
    return float(found[1]) / 100


def write_percent(share: float) -> str:
    """The share as it is read."""
    return f"{share * 100:.6g}%"
