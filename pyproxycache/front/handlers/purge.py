"""PURGE: a method of this cache, by which clients that may do so have it forget a URL."""

from __future__ import annotations

from pyproxycache.engine import Engine
from pyproxycache.errors import Forbidden
from pyproxycache.facts import Attempted, Facts, ServedAs
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.gates.access import Access
from pyproxycache.outcome import Result
from pyproxycache.routing.resource import Realm
from pyproxycache.serving.responses import from_text
from pyproxycache.steps import Steps, at_once
from pyproxycache.storeless_engine import StorelessEngine

# What proxies say of the client they ask for.
_FORWARDED = ("Via", "Forwarded", "X-Forwarded-For")


class Purge:
    """Forgets what is stored for a URL; the request goes no further. `purgers`: who may ask for that."""

    def __init__(self, realm: Realm, purgers: Access, engine: Engine | StorelessEngine) -> None:
        self._realm = realm
        self._purgers = purgers
        self._engine = engine

    def answer(self, received: RawRequest, target: Wanted, facts: Facts) -> Steps[Answered]:
        """Purge the URL's entries, and say whether there were any."""
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
