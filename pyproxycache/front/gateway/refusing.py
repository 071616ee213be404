"""Requests over a limit, refused again by memory as their route's gates refuse them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pyproxycache.errors import BadRequest
from pyproxycache.front.gateway.admission import Visitor
from pyproxycache.front.gateway.readmitting import are_equal
from pyproxycache.gates.introspection.token_gate import TokenGate
from pyproxycache.gates.introspection.token_tally import UNCOUNTED, TokenTally
from pyproxycache.gates.limits.limit_gate import LimitGate, OverLimit
from pyproxycache.response import RefusalTerms, Response, left_to_a_thread
from pyproxycache.url import query_of

_NOTHING: Mapping[str, Any] = {}


class Refusing:
    """Decides of requests like refused ones whether the `limits` that their route asks first refuse them.

    Nothing is counted by that, as a refused request is counted by no limit. Of what comes behind other
    limits it does not decide: those count the request. Limits that come behind the check of `tokens` refuse
    those whose tokens are remembered, which `tally` counts. None: they come before it, or none are checked.
    """

    def __init__(
        self, limits: LimitGate, tokens: TokenGate | None = None, tally: TokenTally = UNCOUNTED
    ) -> None:
        self._limits = limits
        self._tokens = tokens
        self._tally = tally

    def terms(self, refusal: Response, visitor: Visitor) -> RefusalTerms | None:
        """When others are refused like the visitor, who got this answer; None if a thread has to decide."""
        try:
            decide = self._deciding(visitor)
        except BadRequest:
            return None
        found = decide(visitor.received.client)
        if found is None or found.response.head != refusal.head:
            return None  # others than these limits have refused it
        return RefusalTerms(found, decide, partial(self._note, found))

    def _note(self, found: OverLimit) -> None:
        """Count a request that is refused again, as the gates would."""
        if self._tokens is not None:
            self._tally.remembered(1)
        for tally in found.tallies:
            tally.refused(1)

    def _deciding(self, visitor: Visitor) -> Callable[[str], OverLimit | None]:
        """What decides of requests like the visitor's by their clients' addresses; raises BadRequest."""
        headers = visitor.received.headers
        query = query_of(visitor.received.target)
        recall = None if self._tokens is None else self._tokens.recalling(headers, query)
        known = None if recall is None else recall()
        if recall is not None and known is None:
            return left_to_a_thread
        token = _NOTHING if known is None else known.body
        look = self._limits.looking(headers, query, token)

        def decide(client: str) -> OverLimit | None:
            known = None if recall is None else recall()
            if recall is not None and (known is None or not are_equal(known.body, token)):
                return None
            try:
                ruled = look(client)
            except BadRequest:
                return None
            return ruled if isinstance(ruled, OverLimit) else None

        return decide
