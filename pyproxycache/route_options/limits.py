"""The rate limits of routes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from pyproxycache.options import Count

LimitName = Annotated[str, "limit name"]


class LimitedBy(Struct, frozen=True):
    """What of a request a limit counts by: its `kind`, and the name of the field, cookie or parameter."""

    kind: Literal["client", "header", "cookie", "query", "token"]
    name: str = ""


class RateLimitOptions(Struct, frozen=True, kw_only=True):
    """How many requests with one value of what `by` names pass: `count` in each `per`.

    A `bucket` lets `burst` of them (None: `count`) pass at once. Up to `keys` values are counted apart at
    the same time.
    """

    by: tuple[Annotated[LimitedBy, "limited by"], ...]
    count: Annotated[int, "rate count"]
    per: Annotated[float, "rate period"]
    kind: Literal["fixed", "sliding", "bucket"] = "fixed"
    burst: Annotated[int, "rate count"] | None = None
    keys: Count = 1 << 16
