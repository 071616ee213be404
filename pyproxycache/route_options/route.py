"""A route: paths of this cache that lead to an upstream, and what is done with requests for them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from pyproxycache.options import Size, Timeout
from pyproxycache.route_options.around import (
    CompressOptions,
    CorsOptions,
    HeaderOptions,
    MaintenanceOptions,
    PathOptions,
)
from pyproxycache.route_options.caching import RouteCacheOptions
from pyproxycache.route_options.events import RouteEventsOptions
from pyproxycache.route_options.introspection import IntrospectOptions
from pyproxycache.route_options.limits import LimitName, RateLimitOptions
from pyproxycache.route_options.pooling import MemberOptions, PoolOptions
from pyproxycache.route_options.refreshing import RefreshOptions
from pyproxycache.url import Url

RoutePath = Annotated[str, "route path"]
HostName = Annotated[str, "host name"]
Method = Annotated[str, "method"]


ECHOING = frozenset({"TRACE", "TRACK"})
"""Methods that show the client what its request has become on the way, secrets that were added included."""
USUAL = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""What is named to clients that ask by another method where any is taken."""


class RouteOptions(Struct, frozen=True, kw_only=True, rename={"members": "upstream"}):
    """A route whose inherited values are filled in.

    Requests with one of the `methods` (none: with any) are sent to one of the `members`, below its own
    path. `exclude`: its answers are neither stored nor shared. `limits` are how many of them pass in a
    time. With `introspect` they have to have a valid token. `request_id` and `trace`: each has an id, and a
    traceparent. `limit_body` is how many bytes of content they may have. The upstream may take `timeout`
    until its answer begins, and `silence` for each byte then (None: as for all). With `maintenance`, that
    is answered in place of the upstream. With `events` each is one.
    """

    members: tuple[MemberOptions, ...]
    pool: PoolOptions | None = None
    methods: tuple[Method, ...] = ()
    exclude: bool = False
    limits: dict[LimitName, RateLimitOptions] = {}
    introspect: IntrospectOptions | None = None
    cache: RouteCacheOptions = RouteCacheOptions()
    path: PathOptions = PathOptions()
    headers: HeaderOptions = HeaderOptions()
    request_id: bool = False
    trace: bool = False
    cors: CorsOptions | None = None
    limit_body: Size | None = None
    compress: CompressOptions | None = None
    timeout: Timeout | None = None
    silence: Timeout | None = None
    maintenance: MaintenanceOptions | None = None
    refresh: RefreshOptions = RefreshOptions()
    events: RouteEventsOptions | None = None

    @property
    def upstream(self) -> Url:
        """The first member's URL, by which the answers of all members are stored."""
        return self.members[0].url

    @property
    def pooling(self) -> PoolOptions | None:
        """How the members share the requests; None where there is one, of which nothing else is said."""
        return PoolOptions() if self.pool is None and len(self.members) > 1 else self.pool

    @property
    def taken_methods(self) -> tuple[Method, ...]:
        """What clients are told of methods."""
        return tuple(one for one in self.methods if one not in ECHOING) or USUAL

    def takes(self, method: str) -> bool:
        """Whether requests with this method are sent on."""
        return method not in ECHOING and (not self.methods or method in self.methods)

    @property
    def keeps_host(self) -> bool:
        """Whether upstreams see which host the client has named."""
        return self.pool is not None and self.pool.host == "keep"


class HostOptions(Struct, frozen=True, kw_only=True):
    """The routes of one host name."""

    routes: dict[RoutePath, RouteOptions] = {}
