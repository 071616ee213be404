"""Requests of a reverse proxy's clients: their paths are those of its one upstream."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pyproxycache.facts import Facts
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.presentation import cookies
from pyproxycache.front.presentation.references import below_upstream, mapped
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.steps import Steps
from pyproxycache.url import Url


class Reverse:
    """Answers a reverse proxy's clients; references and cookies in the heads are for the proxy's paths."""

    def __init__(self, cached: CachedAnswers, upstream: Url) -> None:
        self._cached = cached
        self._upstream = upstream

    def answer(self, received: RawRequest, target: Wanted, facts: Facts) -> Steps[Answered]:
        """The engine's answer, its references and cookies as paths of the proxy."""
        return self._cached.answer(received, target, shown_below(self._upstream, target.url), facts)


def shown_below(upstream: Url, base: Url, prefix: str = "", others: Sequence[Url] = ()) -> Present:
    """What makes heads of answers for the URL `base` into those for a reverse proxy's clients.

    These have the upstream's paths behind the `prefix`, which has no slash at its end. `others` are further
    upstreams, whose paths are the same ones.
    """
    addresses = [below_upstream(one, prefix) for one in (upstream, *others)]

    def address(url: str) -> str | None:
        return next((found for one in addresses if (found := one(url)) is not None), None)

    cookie = cookies.below_upstream(upstream, prefix, frozenset(one.host for one in others))
    return partial(mapped, base=base, address=address, cookie=cookie)
