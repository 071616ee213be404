"""How a route's upstreams share its requests: the options of a pool and of its members."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from pyproxycache.options import Age, Count, OriginUrl, StatusSet, Timeout

Percent = Annotated[float, "percent"]
HealthPath = Annotated[str, "health path"]


class MemberOptions(Struct, frozen=True, kw_only=True):
    """A URL below which an upstream has a route's paths; it gets requests by its `weight`."""

    url: OriginUrl
    weight: Count = 1


class HealthOptions(Struct, frozen=True, kw_only=True):
    """What each member is asked for, `every` so many seconds, and the `status` of one that is well.

    `path` is the member's own, whatever the path of its URL. An answer has to begin within `timeout`.
    """

    path: HealthPath
    every: Timeout = 10.0
    timeout: Timeout = 2.0
    status: tuple[StatusSet, ...] = ("2xx",)


class PoolOptions(Struct, frozen=True, kw_only=True):
    """Which member a request is sent to, and when one gets none.

    `choose`: the less busy of two, or all in turn. `host`: the Host that members see, their own or that of
    the client, which selects the answer then. After so many `failures` in a row (None: never) a member is
    out for `pause`, and for longer each time up to `max_pause`; failures are connections and answers that
    do not come, and those with one of the `statuses`. `retries` is how many requests may be sent once more,
    as a share of all.
    """

    choose: Literal["least", "turns"] = "least"
    host: Literal["own", "keep"] = "own"
    failures: Count | None = 3
    statuses: tuple[StatusSet, ...] = ("502", "503", "504")
    pause: Timeout = 1.0
    max_pause: Age = 60.0
    retries: Percent = 0.2
    health: HealthOptions | None = None
