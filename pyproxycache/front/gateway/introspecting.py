"""The tokens of a route's clients, checked as one of its gates."""

from __future__ import annotations

from dataclasses import replace

from pyproxycache.errors import TokenCheckFailed
from pyproxycache.facts import Facts
from pyproxycache.front.gateway.admission import Admitted, RouteGate, Visitor
from pyproxycache.gates.introspection.token_findings import RefusedRequest
from pyproxycache.gates.introspection.token_gate import TokenGate
from pyproxycache.gates.introspection.token_tally import UNCOUNTED, TokenTally
from pyproxycache.messages import Request
from pyproxycache.response import Response
from pyproxycache.steps import Steps


class Introspecting(RouteGate):
    """Lets in who sends a valid token, whose body gates behind this one and the upstream may get."""

    def __init__(self, gate: TokenGate, tally: TokenTally = UNCOUNTED) -> None:
        self._gate = gate
        self._tally = tally

    def admit(self, visitor: Visitor, _facts: Facts) -> Steps[Admitted | Response]:
        """The visitor as its token lets it in; raises ProxyError, with a challenge to the client."""
        received = visitor.received
        asked = Request(received.method, visitor.url, visitor.headers, received.client)
        found = yield from self._gate.checked(asked)
        tally = self._tally
        if isinstance(found, RefusedRequest):
            (tally.failed if isinstance(found.error, TokenCheckFailed) else tally.refused)(1)
            raise found.error
        (tally.remembered if found.is_remembered else tally.valid)(1)
        request = found.request
        return Admitted(replace(visitor, headers=request.headers, url=request.url, token=found.body))
