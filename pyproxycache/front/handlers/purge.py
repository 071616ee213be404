"""PURGE: the method by which allowed clients remove a URL's entries from the cache."""

from __future__ import annotations

from pyproxycache.engine import Engine
from pyproxycache.errors import Forbidden
from pyproxycache.facts import Attempted, Facts, ServedAs
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.gates.access import Access
from pyproxycache.outcome import Result
from pyproxycache.passing_engine import PassingEngine
from pyproxycache.routing.resource import Realm
from pyproxycache.serving.responses import from_text
from pyproxycache.steps import Steps, at_once

# Fields in which a proxy tells of the client that it asks for.
_FORWARDED = ("Via", "Forwarded", "X-Forwarded-For")


class Purge:
    """Removes the entries of a URL, without asking its origin; `purgers` decides which clients may."""

    def __init__(self, realm: Realm, purgers: Access, engine: Engine | PassingEngine) -> None:
        self._realm = realm
        self._purgers = purgers
        self._engine = engine

    def answer(self, received: RawRequest, target: Wanted, facts: Facts) -> Steps[Answered]:
        """Purge the URL's entries; answers 200 if there were any, else 404."""
        return at_once(lambda: self._purged(received, target, facts))

    def _purged(self, received: RawRequest, target: Wanted, facts: Facts) -> Answered:
        facts.note(Attempted(str(target.url)))
        self._purgers.check(received.client)
        if any(received.field(name) for name in _FORWARDED):
            raise Forbidden("PURGE is taken from the client itself, and this came through another proxy")
        facts.note(ServedAs(Result.LOCAL))
        found = self._engine.purge(self._realm.resource(target.url))
        text = f"{target.url} is purged" if found else f"nothing is stored for {target.url}"
        return Answered(from_text(200 if found else 404, text), is_of_cache=False)
