"""Clients of a reverse proxy: their paths are those of the one origin that it stands before."""

from __future__ import annotations

from functools import partial

from pyproxycache.facts import Facts
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.presentation import cookies
from pyproxycache.front.presentation.references import below_upstream, mapped
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.messages import Url
from pyproxycache.steps import Steps


class Reverse:
    """Gives the answer with references and cookies as paths of the proxy."""

    def __init__(self, cached: CachedAnswers, upstream: Url) -> None:
        self._cached = cached
        self._upstream = upstream

    def answer(self, received: RawRequest, target: Wanted, facts: Facts) -> Steps[Answered]:
        """Answer with what the engine gives, its references as paths of the proxy."""
        return self._cached.answer(received, target, shown_below(self._upstream, target.url), facts)


def shown_below(upstream: Url, base: Url) -> Present:
    """Shows heads of answers for `base` to clients that know the upstream by the proxy's address."""
    address, cookie = below_upstream(upstream), cookies.below_upstream(upstream)
    return partial(mapped, base=base, address=address, cookie=cookie)
