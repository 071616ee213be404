"""Requests that memory can answer, let in again by what the gates of their route know without waiting."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from pyproxycache.errors import BadRequest
from pyproxycache.front.gateway.admission import Visitor
from pyproxycache.gates.introspection.token_gate import TokenGate
from pyproxycache.gates.limits.limit_gate import LIMIT_FIELDS, LimitGate, WithinLimits
from pyproxycache.gates.limits.limited_values import LimitedRequest
from pyproxycache.messages import Headers
from pyproxycache.response import Readmission

_NONE: frozenset[str] = frozenset()


class Readmitting:
    """Decides of requests that memory can answer as the gates of their route do, for those it lets in.

    `tokens` are remembered by the gate that checks them, `limits` are all that the route has; None for what
    it has not. All of the limits count a request, or none does, so that the gates themselves can count it.
    """

    def __init__(self, tokens: TokenGate | None, limits: LimitGate | None) -> None:
        self._tokens = tokens
        self._limits = limits

    def of(self, admitted: Visitor) -> Readmission:
        """What decides of requests that may get the answer which the admitted one has got."""
        names = _NONE if self._limits is None else LIMIT_FIELDS
        return Readmission(partial(self._decide, admitted.token), names)

    def _decide(
        self, token: Mapping[str, Any], client: str, target: str, headers: Headers
    ) -> tuple[tuple[str, str], ...] | None:
        _path, mark, rest = target.partition("?")
        query = rest if mark else None
        if self._tokens is not None:
            body = self._tokens.remembered(headers, query)
            if body is not token and not _are_equal(body, token):
                return None  # another body may select another answer
        if self._limits is None:
            return ()
        try:
            found = self._limits.check(LimitedRequest(client, headers, query, token))
        except BadRequest:
            return None
        return found.fields if isinstance(found, WithinLimits) else None


def _are_equal(one: Mapping[str, Any] | None, other: Mapping[str, Any]) -> bool:
    """Whether both are the same JSON, in which 1, 1.0 and true are three values."""
    return one == other and repr(one) == repr(other)
