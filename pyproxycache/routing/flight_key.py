"""Flight keys: requests with the same flight key share one download."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from pyproxycache.messages import Request
from pyproxycache.rules.variants import CONTENT, implied_fields, vary_values
from pyproxycache.url import origin_of

Vary = tuple[tuple[str, str | None], ...]
"""Request fields and their normalised values, None for a field that is absent."""


@dataclass(frozen=True, slots=True)
class FlightKey:
    """The cache key, and what distinguishes downloads of the same cache key.

    `vary` are the request fields that select the response, as far as they are known. `part` is the first
    position of the requested range, as Range writes it; "" for the whole. `has_ttl`: the requests bring a
    freshness lifetime of their own.
    """

    cache_key: str
    vary: Vary = ()
    part: str = ""
    has_ttl: bool = False

    def of_part(self, wanted: str) -> Self:
        """The key of a part; `wanted` is the Range value that asks for it ("bytes=5-9").

        Parts with the same first byte share a download, whose end is decided while it runs.
        """
        start = wanted.rpartition("-")[0]
        return replace(self, part=start if start[-1:].isdigit() else wanted)

    def with_ttl(self) -> Self:
        """The key for requests that bring a freshness lifetime of their own."""
        return replace(self, has_ttl=True)

    @property
    def origin(self) -> str:
        """The origin (scheme and authority) that is asked."""
        return origin_of(self.cache_key)

    @property
    def variant(self) -> str:
        """Everything but the cache key as one line of text; "" if there is nothing else."""
        rest = (self.vary, self.part, self.has_ttl)
        return json.dumps(rest) if any(rest) else ""

    @classmethod
    def of(cls, cache_key: str, variant: str) -> Self:
        """The key with this cache key and `variant`; raises ValueError if `variant` is not one."""
        if not variant:
            return cls(cache_key)
        try:
            vary, part, has_ttl = json.loads(variant)
            fields = tuple((str(name), value) for name, value in vary)
            return cls(cache_key, fields, str(part), bool(has_ttl))
        except (TypeError, ValueError) as error:
            raise ValueError(f"no variant of a flight: {variant[:80]!r}") from error


def flight_key(cache_key: str, varies: Sequence[str], request: Request) -> FlightKey:
    """The flight key of a request: the cache key, and its values of the fields in `varies`."""
    if request.content_key is not None and CONTENT not in varies:
        varies = (CONTENT, *varies)
    if missing := implied_fields(request).difference(varies):
        varies = (*varies, *sorted(missing))
    return FlightKey(cache_key, vary_values(varies, request))
