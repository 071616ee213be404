"""Requests of clients that are configured for a proxy, which ask for the URL itself."""

from __future__ import annotations

from pyproxycache.facts import Facts
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.presentation.references import as_it_is
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.steps import Steps


class Proxy:
    """Answers a proxy's clients; references in the heads stay as the origin has them."""

    def __init__(self, cached: CachedAnswers) -> None:
        self._cached = cached

    def answer(self, received: RawRequest, target: Wanted, facts: Facts) -> Steps[Answered]:
        """The engine's answer for the URL, its references unchanged."""
        return self._cached.answer(received, target, as_it_is, facts)
