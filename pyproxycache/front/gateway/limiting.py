"""The rate limits of a route, as one of its gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyproxycache.errors import BadRequest
from pyproxycache.facts import Facts
from pyproxycache.front.gateway.admission import Admitted, RouteGate, Visitor
from pyproxycache.gates.limits.limit_gate import LIMIT_FIELDS, LimitGate, OverLimit, WithinLimits
from pyproxycache.gates.limits.limited_values import LimitedRequest
from pyproxycache.messages import Headers, Readmission, Response
from pyproxycache.steps import Steps


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
        found = self._check(received.client, received.target, received.headers, visitor.token)
        if isinstance(found, OverLimit):
            return found.response
        return Admitted(visitor, found.fields)

    def readmission(self) -> Readmission | None:
        """What counts requests that memory can answer; None if limits need a token's introspection."""
        return None if self._gate.needs_token else Readmission(self._readmit, LIMIT_FIELDS)

    def _readmit(self, client: str, target: str, headers: Headers) -> tuple[tuple[str, str], ...] | None:
        try:
            found = self._check(client, target, headers, {})
        except BadRequest:
            return None
        return found.fields if isinstance(found, WithinLimits) else None

    def _check(
        self, client: str, target: str, headers: Headers, token: Mapping[str, Any]
    ) -> WithinLimits | OverLimit:
        _path, mark, query = target.partition("?")
        return self._gate.check(LimitedRequest(client, headers, query if mark else None, token))
