"""The rate limits of a route, as one of its gates."""

from __future__ import annotations

from pyproxycache.facts import Facts
from pyproxycache.front.gateway.admission import Admitted, RouteGate, Visitor
from pyproxycache.gates.limits.limit_gate import LimitGate, OverLimit
from pyproxycache.gates.limits.limited_values import LimitedRequest
from pyproxycache.response import Response
from pyproxycache.steps import Steps
from pyproxycache.url import query_of


class Limiting(RouteGate):
    """Lets in as many requests as the route's limits allow, and answers the others 429.

    They count what the client sent, and what gates before this one have found of its token.
    """

    def __init__(self, gate: LimitGate) -> None:
        self._gate = gate

    def admit(self, visitor: Visitor, _facts: Facts) -> Steps[Admitted | Response]:
        """The visitor with the fields that tell of the limits, or a 429; raises BadRequest."""
        yield from ()
        if visitor.is_repeated:
            return Admitted(visitor)  # no client has asked
        received = visitor.received
        query = query_of(received.target)
        found = self._gate.check(LimitedRequest(received.client, received.headers, query, visitor.token))
        if isinstance(found, OverLimit):
            return found.response
        return Admitted(visitor, found.fields)
