"""Finished requests with what a route announces of them, and events as lines."""

from __future__ import annotations

from typing import Any

from finished import finished
from msgspec.structs import replace

from pyproxycache.announced import Announced, EventTerms
from pyproxycache.messages import Headers
from pyproxycache.outcome import Outcome
from pyproxycache.route_options.events import SECRET_FIELDS, SECRET_PARAMETERS

TERMS = EventTerms("/api/v1/", "V1", frozenset(SECRET_FIELDS), frozenset(SECRET_PARAMETERS))


def announced(**changes: Any) -> Announced:
    """What the route /api/v1/ announces of a request with a field."""
    one = Announced(TERMS, "http://api.example/api/v1/users", Headers((("Accept", "application/json"),)))
    return replace(one, **changes)


def numbered(number: int) -> tuple[Outcome, Announced]:
    """A request that is told by its number."""
    return finished(), announced(headers=Headers((("X-Request-Id", str(number)),)))
