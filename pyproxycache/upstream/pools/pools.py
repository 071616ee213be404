"""The pools of a process, by their names."""

from __future__ import annotations

from collections.abc import Mapping

from pyproxycache.messages import Request
from pyproxycache.upstream.pools.pool import AnswerType, Pool, Send


class Pools:
    """Sends requests by their pools, or, where they have none, to their own URL."""

    def __init__(self, by_name: Mapping[str, Pool] | None = None) -> None:
        self.by_name = by_name or {}

    def sent(self, request: Request, deadline: float | None, send: Send[AnswerType]) -> AnswerType:
        """What the request is answered with; see Pool.sent()."""
        if request.pool is None:
            return send(request, _nothing)
        return self.by_name[request.pool.name].sent(request, deadline, send)


def _nothing() -> None:
    """Nobody wants to know whether the request is sent."""
