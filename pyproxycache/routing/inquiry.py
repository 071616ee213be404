"""One request for a resource, as it goes from look-up to serving and fetching."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxycache.facts import Facts
from pyproxycache.messages import Request
from pyproxycache.routing.resource import Resource


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A request, the resource that it is for, and the facts that are noted of it while it is answered."""

    resource: Resource
    request: Request
    facts: Facts
