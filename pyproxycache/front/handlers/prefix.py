"""Requests whose URL stands behind the cache's own address, as a path: http://CACHE/https://HOST/PATH."""

from __future__ import annotations

from functools import partial

from pyproxycache.facts import Facts
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.presentation import cookies
from pyproxycache.front.presentation.references import behind_prefix, mapped
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.steps import Steps


class Prefix:
    """Answers requests by URL prefix; references and cookies in the heads lead back through the prefix."""

    def __init__(self, cached: CachedAnswers) -> None:
        self._cached = cached

    def answer(self, received: RawRequest, target: Wanted, facts: Facts) -> Steps[Answered]:
        """The engine's answer, its references and cookies leading back through the prefix."""
        base = target.url
        address, cookie = behind_prefix(base, target.userinfo), cookies.behind_prefix(base)
        present = partial(mapped, base=base, address=address, cookie=cookie)
        return self._cached.answer(received, target, present, facts)
