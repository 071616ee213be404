"""Routes: which paths of a gateway lead to which upstream, found by host and path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from pyproxycache.errors import BadRequest
from pyproxycache.route_options.around import PathOptions
from pyproxycache.route_options.route import RouteOptions
from pyproxycache.routing.path_rewriting import rewritten
from pyproxycache.rules.urls import host_and_port
from pyproxycache.url import Url, leads_upward

_SLASHES = re.compile(r"[/\\]+")
_STAYING = re.compile(r"(?:/\.)+(?=/|\Z)")
_PARAMETERS = re.compile(r";[^/\\]*")

_AS_IT_IS = PathOptions()


@dataclass(frozen=True, slots=True)
class Route:
    """The requests for a path and what is below it, at a host name ("": at any); no two have both equal."""

    host: str
    path: str
    options: RouteOptions = field(compare=False)

    def has(self, path: str) -> bool:
        """Whether the route is for the path, which is plain: the same, or one below it."""
        if not path.startswith(self.path):
            return path + "/" == self.path
        return self.path.endswith("/") or path[len(self.path) : len(self.path) + 1] in ("", "/")

    def url_of(self, target: str) -> Url:
        """The upstream's URL for a request's path and query; raises BadRequest."""
        upstream, options = self.options.upstream, self.options.path
        if options != _AS_IT_IS:
            path, mark, query = target.partition("?")
            target = rewritten(path, routed_path(path), options) + mark + query
        return Url(upstream.scheme, upstream.host, upstream.port, upstream.target.rstrip("/") + target)


class RouteTable:
    """Finds the route of a request: of those for its host name, else of those for any, the longest path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._by_host: dict[str, list[Route]] = {}
        for route in sorted(routes, key=lambda one: len(one.path), reverse=True):
            self._by_host.setdefault(route.host, []).append(route)

    def find(self, host: str, path: str) -> Route | None:
        """The route for a host name and a path as it was sent; None if there is none.

        Raises BadRequest for a path that an upstream may take for one elsewhere.
        """
        plain = routed_path(path)
        for routes in (self._by_host.get(host, ()), self._by_host.get("", ())):
            for route in routes:
                if route.has(plain):
                    return route
        return None


def named_host(field: str) -> str:
    """The host name in a request's Host field, as routes are found by it; "" for none."""
    return host_and_port(field)[0].removesuffix(".") if field else ""


def routed_path(path: str) -> str:
    """The path as routes are matched: decoded, without parameters and "." as segments, slashes as one.

    Backslashes count as slashes. Upstreams read paths so, and one that is written otherwise shall not get
    round what a route demands. Raises BadRequest if it has segments that lead upward.
    """
    if leads_upward(path):
        raise BadRequest("the path has segments that lead upward: write it without '..'")
    decoded = unquote_to_bytes(path).decode("latin-1")
    return _STAYING.sub("", _SLASHES.sub("/", _PARAMETERS.sub("", decoded))) or "/"
