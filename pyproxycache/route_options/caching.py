"""How the answers of a route are cached."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from pyproxycache.options import Age, FieldName

Respected = Literal["no-store", "no-cache", "private", "must-revalidate"]


class RouteKeyOptions(Struct, frozen=True, kw_only=True):
    """What selects an answer besides method, host and path.

    `body`: the request's content, which lets answers to POST be cached. `query`: as it is, sorted by name,
    or not at all. `headers` are request fields whose values select; None: Authorization and Cookie, or the
    field that introspection sets.
    """

    body: bool = False
    query: Literal["keep", "sort", "ignore"] = "keep"
    headers: tuple[FieldName, ...] | None = None


class RouteCacheOptions(Struct, frozen=True, kw_only=True):
    """How the answers of a route are cached; without `ttl`, HTTP's own rules count, as for a proxy.

    With it they are fresh for `ttl`, and answers with a status of 400 and more for `ttl_error` (None: they
    are not stored). With `sliding` each access prolongs an answer's life to `ttl` from then, until it is as
    old as `longest`; errors it does not. `respect` names directives of Cache-Control that count all the
    same.
    """

    ttl: Annotated[float, "timeout"] | None = None
    ttl_error: Annotated[float, "timeout"] | None = None
    sliding: bool = False
    longest: Annotated[float, "timeout"] = 86400.0
    stale_if_error: Age | None = None
    key: RouteKeyOptions = RouteKeyOptions()
    respect: tuple[Respected, ...] = ()
