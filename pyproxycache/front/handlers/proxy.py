"""Clients that are configured for a proxy: they ask for the URL itself."""

from __future__ import annotations

from pyproxycache.facts import Facts
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.presentation.references import as_it_is
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.steps import Steps


class Proxy:
    """Gives the answer as the origin has it."""

    def __init__(self, cached: CachedAnswers) -> None:
        self._cached = cached

    def answer(self, received: RawRequest, target: Wanted, facts: Facts) -> Steps[Answered]:
        """Answer with what the engine gives for the URL, its references unchanged."""
        return self._cached.answer(received, target, as_it_is, facts)
