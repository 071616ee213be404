"""Paths of a gateway that no route has."""

from __future__ import annotations

from pyproxycache.errors import NotFound
from pyproxycache.facts import Attempted, Facts
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Local
from pyproxycache.rules.userinfo import without_userinfo
from pyproxycache.steps import Steps, at_once


class Unrouted:
    """Answers requests to a gateway for paths that no route has, by a 404."""

    def answer(self, _received: RawRequest, target: Local, facts: Facts) -> Steps[Answered]:
        """Raise NotFound."""
        return at_once(lambda: self._not_found(target, facts))

    def _not_found(self, target: Local, facts: Facts) -> Answered:
        path = without_userinfo(target.path)
        facts.note(Attempted(path))
        raise NotFound(f"{path}: no route leads here")
