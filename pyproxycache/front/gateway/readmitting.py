"""Requests that memory can answer, let in again by what the gates of their route know without waiting."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pyproxycache.errors import BadRequest
from pyproxycache.front.gateway.admission import Visitor
from pyproxycache.gates.introspection.token_gate import TokenGate
from pyproxycache.gates.introspection.token_tally import UNCOUNTED, TokenTally
from pyproxycache.gates.limits.limit_gate import LIMIT_FIELDS, LimitGate, WithinLimits
from pyproxycache.messages import Headers
from pyproxycache.response import Readmission, Readmit, left_to_a_thread
from pyproxycache.url import query_of

_NONE: frozenset[str] = frozenset()


class Readmitting:
    """Decides of requests that memory can answer as the gates of their route do, for those it lets in.

    `tokens` are remembered by the gate that checks them, `limits` are all that the route has; None for what
    it has not. All of the limits count a request, or none does, so that the gates themselves can count it.
    `tally` counts those that are let in by a token.
    """

    def __init__(
        self, tokens: TokenGate | None, limits: LimitGate | None, tally: TokenTally = UNCOUNTED
    ) -> None:
        self._tokens = tokens
        self._limits = limits
        self._tally = tally

    def of(self, admitted: Visitor) -> Readmission:
        """What decides of requests that may get the answer which the admitted one has got."""
        names = _NONE if self._limits is None else LIMIT_FIELDS
        return Readmission(partial(self._readmit, admitted.token), names)

    def _readmit(self, body: Mapping[str, Any], target: str, headers: Headers) -> Readmit:
        query = query_of(target)
        recall = None if self._tokens is None else self._tokens.recalling(headers, query)
        try:
            count = None if self._limits is None else self._limits.counting(headers, query, body)
        except BadRequest:
            return left_to_a_thread

        remembered = self._tally.remembered

        def decide(client: str) -> tuple[tuple[str, str], ...] | None:
            found = None if recall is None else recall()
            if recall is not None and (found is None or not are_equal(found.body, body)):
                return None  # another body may select another answer
            fields: tuple[tuple[str, str], ...] = ()
            if count is not None:
                try:
                    ruled = count(client)
                except BadRequest:
                    return None
                if not isinstance(ruled, WithinLimits):
                    return None
                fields = ruled.fields
            if recall is not None:
                remembered(1)
            return fields

        return decide


def are_equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both are the same JSON, in which 1, 1.0 and true are three values."""
    return one is other or (one == other and repr(one) == repr(other))
