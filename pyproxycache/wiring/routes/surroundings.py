"""Builds what a route does around its requests, with the secrets and the file that it names."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping

from pyproxycache.configuration.config import Config
from pyproxycache.configuration.secrets import resolved
from pyproxycache.errors import ConfigError
from pyproxycache.front.around.coded_body import Coder, coders
from pyproxycache.front.around.compression import Compression
from pyproxycache.front.around.cross_origin import CrossOrigin
from pyproxycache.front.around.header_changes import HeaderChanges
from pyproxycache.front.around.maintenance import Maintenance
from pyproxycache.front.around.surroundings import Surroundings
from pyproxycache.front.handlers.reverse import shown_below
from pyproxycache.front.requests.raw_request import Present
from pyproxycache.route_options.around import CompressOptions, FieldChanges, MaintenanceOptions
from pyproxycache.route_options.route import RouteOptions
from pyproxycache.routing.route_table import Route
from pyproxycache.url import Url

_LONGEST = 8 << 10
_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json"}
_PLAIN = "text/plain; charset=utf-8"


def try_surroundings(config: Config) -> None:
    """Raise ConfigError if a secret or a file that a route names cannot be had."""
    for one in config.all_routes():
        build_surroundings(Route(*one))


def build_surroundings(route: Route, environ: Mapping[str, str] = os.environ) -> Surroundings:
    """Build what the route does around its requests; raises ConfigError."""
    options = route.options
    key = f"hosts.{route.host}.routes.{route.path}" if route.host else f"routes.{route.path}"
    maintained = options.maintenance
    return Surroundings(
        has_ids=options.request_id,
        has_traces=options.trace,
        compression=None if options.compress is None else _compression(options.compress),
        cross_origin=None if options.cors is None else CrossOrigin(options.cors, options.methods),
        maintenance=None if maintained is None else _maintenance(maintained, f"{key}.maintenance"),
        content_limit=options.limit_body,
        of_requests=_changes(options.headers.request, f"{key}.headers.request.set", environ),
        of_answers=_changes(options.headers.response, f"{key}.headers.response.set", environ),
    )


def shown_by(options: RouteOptions, base: Url) -> Present:
    """What makes heads of the upstream's answers for the URL `base` into those for a route's clients."""
    path = options.path
    first, *others = (_with_path_below(one.url, path.add or "") for one in options.members)
    return shown_below(first, base, (path.strip or "").rstrip("/"), others)


def _with_path_below(upstream: Url, added: str) -> Url:
    target = upstream.target.rstrip("/") + added.rstrip("/") + "/"
    return Url(upstream.scheme, upstream.host, upstream.port, target)


def _changes(options: FieldChanges, key: str, environ: Mapping[str, str]) -> HeaderChanges:
    values = {name: resolved(text, f"{key}.{name}", environ=environ) for name, text in options.set.items()}
    for name, value in values.items():
        if not value.isprintable() or not value.isascii() or len(value) > _LONGEST:
            raise ConfigError(f"{key}.{name}: the secret is no header field's value: printable ASCII")
    return HeaderChanges(frozenset(options.remove), options.rename, values)


def _compression(options: CompressOptions) -> Compression:
    known = coders()
    wanted: dict[str, Callable[[], Coder]] = {
        coding: known[coding] for coding in options.codings if coding in known
    }
    return Compression(wanted, options.types, options.min_size)


def _maintenance(options: MaintenanceOptions, key: str) -> Maintenance:
    content, suffix = options.body.encode(), ""
    if options.file is not None:
        suffix = options.file.suffix
        try:
            content = options.file.read_bytes()
        except OSError as error:
            raise ConfigError(f"{key}.file: {options.file}: {error.strerror}") from error
    retry_after = None if options.retry_after is None else math.ceil(options.retry_after)
    content_type = options.content_type or _TYPES.get(suffix, _PLAIN)
    return Maintenance(options.status, content, content_type, retry_after)
