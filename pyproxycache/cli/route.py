"""The command `route`: which route of the gateway a request takes, and what is done with it there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import click

from pyproxycache.announced import REQUEST_ID
from pyproxycache.cli.common import (
    PROBLEMS,
    WRONG_USAGE,
    config_option,
    fail,
    json_option,
    load_config,
    print_json,
)
from pyproxycache.configuration.config import Config
from pyproxycache.configuration.notations.route_notation import read_method
from pyproxycache.errors import ProxyError
from pyproxycache.front.around.body_limit import exceeds
from pyproxycache.front.around.cross_origin import CrossOrigin
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import host_in, local_of
from pyproxycache.messages import Head, Headers
from pyproxycache.route_options.around import FieldChanges
from pyproxycache.route_options.introspection import BEARER, IntrospectOptions
from pyproxycache.route_options.limits import RateLimitOptions
from pyproxycache.route_options.refreshing import RefreshOptions
from pyproxycache.route_options.route import RouteOptions
from pyproxycache.routing.route_table import Route, RouteTable, named_host
from pyproxycache.rules.cache_key import QueryMode
from pyproxycache.rules.policy import Policy
from pyproxycache.units import format_age
from pyproxycache.url import origin_of
from pyproxycache.wiring.gateway import realm_of

_SHOWN = {
    "route": "route",
    "upstream": "asks",
    "pool": "one of",
    "refused": "refused",
    "methods": "methods",
    "gates": "gates",
    "request_headers": "request",
    "answer_headers": "answer",
    "cached": "cached",
    "key": "key",
    "selected_by": "selected by",
    "refreshed": "refreshed",
}
"""What each fact is called in text, in the order of the lines."""


@click.command()
@click.argument("url")
@click.option("-X", "--method", default="GET", metavar="METHOD", help="The request's method.")
@click.option("-H", "--header", "lines", multiple=True, metavar="LINE", help="A field: 'Name: value'.")
@json_option
@config_option
def route(url: str, method: str, lines: tuple[str, ...], config_file: Path | None, as_json: bool) -> None:
    """Say which route of the gateway a request for URL takes.

    URL is a whole one, or a path. The line says what would be done with the request: nothing is sent.
    """
    config = load_config(config_file, {})
    table = RouteTable(Route(*one) for one in config.all_routes())
    headers = Headers(_field(line) for line in lines)
    try:
        read_method(method)
    except ValueError as error:
        fail(f"--method: {error}", WRONG_USAGE)
    if not url.startswith("/") and "://" not in url:
        fail(f"{url!r} is neither a path, as in /api/v1/users, nor a URL", WRONG_USAGE)
    try:
        path, query, host = _named(url, headers)
        found = table.find(named_host(host), path)
        if found is None:
            _unrouted(config, path, host)
        told = told_of(found, method, headers, f"{path}?{query}" if query else path, config)
    except ProxyError as error:
        fail(f"{url}: refused with {error.status}: {error.public}", PROBLEMS)
    if as_json:
        print_json(told)
    else:
        for key, name in _SHOWN.items():
            if told.get(key):
                click.echo(f"{name + ':':<13}{_text(told[key])}")
    if "refused" in told:
        raise SystemExit(PROBLEMS)


def told_of(route: Route, method: str, headers: Headers, target: str, config: Config) -> dict[str, Any]:
    """What is done with a request for the route: its facts by their names."""
    options = route.options
    url = route.url_of(target)
    resource = realm_of(route, config.targets).resource(url)
    told: dict[str, Any] = {
        "route": f"{route.host}{route.path}",
        "upstream": str(url),
        "methods": list(options.methods) or ["any"],
    }
    if options.pooling is not None:
        told["pool"] = [str(one.url) for one in options.members]
    told["answer_headers"] = list(_answer_changes(options, method, headers))
    if refused := _refused(options, method, headers):
        told["refused"] = refused
        return told
    told["gates"] = list(_gates(options))
    told["request_headers"] = list(_request_changes(options, method, headers))
    if method == "GET" and "upgrade" in headers:
        told["cached"] = f"no: the connection may switch to {headers.get('upgrade')}"
        return told
    policy = resource.rules.for_response(200, "")
    told["cached"] = _cached(options, method, resource.realm.by_content)
    if not told["cached"].startswith("no"):
        told["key"] = resource.key
        told["selected_by"] = _selecting(
            policy, method, resource.realm.by_content, tells_host=config.forwarded.send is not False
        )
        told["refreshed"] = _refreshed(options.refresh)
    return told


def _refused(options: RouteOptions, method: str, headers: Headers) -> str:
    """What is answered in place of the upstream, and why; "" if nothing is."""
    pages, asked = _pages(options), _request(method, headers)
    preflight = None if pages is None else pages.preflight(asked)
    if preflight is not None:
        return f"{preflight.head.status}, the answer to a preflight request"
    if options.maintenance is not None:
        return f"{options.maintenance.status}, as the route is being maintained"
    if options.limit_body is not None and exceeds(headers, options.limit_body):
        return f"413, as the route takes up to {options.limit_body} bytes of content"
    if not options.takes(method):
        return f"405, as the route takes no {method}"
    return ""


def _request_changes(options: RouteOptions, method: str, headers: Headers) -> Iterator[str]:
    """How the fields of the request are changed on their way; without values, which may be secrets."""
    if options.request_id:
        yield f"with {REQUEST_ID}"
    if options.trace:
        yield "with Traceparent"
    pages = _pages(options)
    onward = headers if pages is None else pages.onward(headers, method, switches="upgrade" in headers)
    if "origin" in headers and "origin" not in onward:
        yield "without Origin"
    yield from _changes(options.headers.request)


def _answer_changes(options: RouteOptions, method: str, headers: Headers) -> Iterator[str]:
    """How those of the answer are."""
    if options.request_id:
        yield f"with {REQUEST_ID}"
    if (pages := _pages(options)) is not None:
        shown = pages.shown(_request(method, headers), Head(200)).headers
        yield from (f"with {name}: {value}" for name, value in shown if name != "Vary")
    if options.compress is not None:
        yield f"with Content-Encoding {' or '.join(options.compress.codings)}, if the client wants it"
    yield from _changes(options.headers.response)


def _changes(changes: FieldChanges) -> Iterator[str]:
    yield from (f"without {name}" for name in changes.remove)
    yield from (f"{old} as {new}" for old, new in changes.rename.items())
    yield from (f"with {name}" for name in changes.set)


def _pages(options: RouteOptions) -> CrossOrigin | None:
    return None if options.cors is None else CrossOrigin(options.cors, options.methods)


def _request(method: str, headers: Headers) -> RawRequest:
    return RawRequest(method, "/", (1, 1), headers, "127.0.0.1", BytesIO())


def _gates(options: RouteOptions) -> Iterator[str]:
    """What a request passes before it is answered, in that order."""
    of_tokens = {
        name for name, limit in options.limits.items() if any(by.kind == "token" for by in limit.by)
    }
    yield from (_limit(name, limit) for name, limit in options.limits.items() if name not in of_tokens)
    if options.introspect is not None:
        yield _token_check(options.introspect)
    yield from (_limit(name, limit) for name, limit in options.limits.items() if name in of_tokens)


def _limit(name: str, limit: RateLimitOptions) -> str:
    by = " and ".join(f"{one.kind} {one.name}".strip() for one in limit.by)
    return f"limit {name} ({limit.count} in {format_age(limit.per)} by {by})"


def _token_check(options: IntrospectOptions) -> str:
    places = " or ".join("bearer" if one == BEARER else f"{one.kind} {one.name}" for one in options.token)
    if options.jwt is not None:
        return f"a token ({places}) that {options.jwt.issuer} has signed"
    assert options.endpoint is not None, "the configuration has been checked"
    return f"a token ({places}) that {origin_of(options.endpoint.url)} says is valid"


def _cached(options: RouteOptions, method: str, by_content: frozenset[str]) -> str:
    cache = options.cache
    if options.exclude:
        return "no: the route is excluded"
    if method not in {"GET", "HEAD", *by_content}:
        return f"no: {method} is passed on, and what is stored of the URL goes if it succeeds"
    if cache.ttl is None:
        return "as the upstream's answer says"
    errors = "not stored" if cache.ttl_error is None else f"for {format_age(cache.ttl_error)}"
    but = f", unless the upstream says {' or '.join(cache.respect)}" if cache.respect else ""
    slides = f" from its last use, up to {format_age(cache.longest)}" if cache.sliding else ""
    return f"for {format_age(cache.ttl)}{slides}, errors {errors}{but}"


def _refreshed(options: RefreshOptions) -> str:
    """When the upstream is asked anew for what clients use; "" for never."""
    by_time = "" if options.every is None else f"every {format_age(options.every)}"
    by_hits = "" if options.hits is None else f"after {options.hits} hits"
    return ", and ".join(filter(None, (by_time, by_hits)))


def _selecting(policy: Policy, method: str, by_content: frozenset[str], *, tells_host: bool) -> list[str]:
    query = {
        QueryMode.KEEP: "the query as it is",
        QueryMode.SORT: "the query, sorted by name",
        QueryMode.IGNORE: "no query",
    }
    content = ["the content"] if method in by_content else []
    named = ["the host and scheme that the client has named"] if tells_host else []
    return [query[policy.query], *content, *named, *sorted(policy.varies), "what the answer's Vary names"]


def _named(url: str, headers: Headers) -> tuple[str, str, str]:
    """Path, query and host that a request for the URL names; raises BadRequest."""
    local = local_of(url)
    return local.path, local.query, host_in(url) or headers.get("host") or ""


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        fail(f"{line!r} is not a field: write it as 'Name: value'", WRONG_USAGE)
    return name.strip(), value.strip()


def _unrouted(config: Config, path: str, host: str) -> NoReturn:
    routes = [f"{at}{one}" for at, one, _options in config.all_routes()]
    if not routes:
        fail("the configuration has no routes: -c names another one", PROBLEMS)
    fail(f"no route has {path} at {host or 'any host'}; there are {', '.join(routes)}", PROBLEMS)


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
