"""The engine's answers to requests for a route whose upstreams are a pool."""

from __future__ import annotations

from dataclasses import replace

from pyproxycache.engine import Engine
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.onward.forwarded import Forwarding
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.messages import ByPool, Request
from pyproxycache.passing_engine import PassingEngine
from pyproxycache.routing.resource import Realm


class PooledAnswers(CachedAnswers):
    """Has requests sent by the `pool`; its members see the client's Host if it `keeps_host`."""

    def __init__(
        self,
        realm: Realm,
        forwarding: Forwarding,
        engine: Engine | PassingEngine,
        pool: ByPool,
        *,
        keeps_host: bool,
        patience: float | None = None,
        silence: float | None = None,
    ) -> None:
        super().__init__(realm, forwarding, engine, patience=patience, silence=silence)
        self._pool = pool
        self._keeps_host = keeps_host

    def request_for(self, received: RawRequest, wanted: Wanted, present: Present) -> Request:
        """The request for the wanted URL, which any member may answer; raises ProxyError."""
        request = super().request_for(received, wanted, present)
        host = received.field("host") if self._keeps_host else ""
        return replace(request, pool=replace(self._pool, host=host))
