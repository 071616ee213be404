"""What names one download: all requests of the same flight key share it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from pyproxycache.messages import Request
from pyproxycache.routing.cache_key import origin_of
from pyproxycache.rules.keys import CONTENT, implied_fields, vary_values

Vary = tuple[tuple[str, str | None], ...]
"""Request fields and their normalised values, None for a field that is absent."""


@dataclass(frozen=True, slots=True)
class FlightKey:
    """The cache key of what is downloaded, and what tells apart the downloads under that key.

    `vary`: the request fields that select the response, as far as they are known. `part`: where the
    requested range begins, as the Range field has it; "" for the whole. `has_ttl`: for requests that
    bring a freshness lifetime of their own.
    """

    cache_key: str
    vary: Vary = ()
    part: str = ""
    has_ttl: bool = False

    def of_part(self, wanted: str) -> Self:
        """The key of a part; `wanted` is the Range field that asks for it ("bytes=5-9").

        Parts that begin alike share one download: how far it goes is seen while it runs.
        """
        start = wanted.rpartition("-")[0]
        return replace(self, part=start if start[-1:].isdigit() else wanted)

    def with_ttl(self) -> Self:
        """The key of the same download for requests that bring a freshness lifetime."""
        return replace(self, has_ttl=True)

    @property
    def origin(self) -> str:
        """Scheme and authority of what is downloaded."""
        return origin_of(self.cache_key)

    @property
    def variant(self) -> str:
        """All of it but the cache key, as text of one line; "" where there is nothing else."""
        told = (self.vary, self.part, self.has_ttl)
        return json.dumps(told) if any(told) else ""

    @classmethod
    def of(cls, cache_key: str, variant: str) -> Self:
        """The key of this cache key and `variant`; raises ValueError where that is none."""
        if not variant:
            return cls(cache_key)
        try:
            vary, part, has_ttl = json.loads(variant)
            fields = tuple((str(name), value) for name, value in vary)
            return cls(cache_key, fields, str(part), bool(has_ttl))
        except (TypeError, ValueError) as error:
            raise ValueError(f"no variant of a flight: {variant[:80]!r}") from error


def flight_key(cache_key: str, varies: Sequence[str], request: Request) -> FlightKey:
    """What requests for one representation share: the cache key and, where known, what it varies on."""
    if request.content_key is not None and CONTENT not in varies:
        varies = (CONTENT, *varies)
    if missing := implied_fields(request).difference(varies):
        varies = (*varies, *sorted(missing))
    return FlightKey(cache_key, vary_values(varies, request))
