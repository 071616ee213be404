"""The engine's answers to requests for URLs, as all handlers of URLs get them."""

from __future__ import annotations

from dataclasses import replace

from pyproxycache.engine import Engine
from pyproxycache.facts import Attempted, Facts, ServedAs
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.onward.forwarded import Forwarding
from pyproxycache.front.onward.max_forwards import counted_down
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.messages import Request
from pyproxycache.outcome import Result
from pyproxycache.passing_engine import PassingEngine
from pyproxycache.response import Response
from pyproxycache.routing.resource import Realm
from pyproxycache.steps import Steps
from pyproxycache.url import Url


class CachedAnswers:
    """Has the engine answer requests for URLs; makes the Resource of each, in one realm."""

    def __init__(
        self,
        realm: Realm,
        forwarding: Forwarding,
        engine: Engine | PassingEngine,
        *,
        patience: float | None = None,
        silence: float | None = None,
    ) -> None:
        """Answers have to begin within `patience` seconds, and each byte comes within `silence` then."""
        self._patience, self._silence = patience, silence
        self._realm = realm
        self._forwarding = forwarding
        self._engine = engine

    def request_for(self, received: RawRequest, wanted: Wanted, present: Present) -> Request:
        """The request for the wanted URL, with Forwarded fields as configured; raises ProxyError."""
        request = self._forwarding.with_fields(
            received.request_for(wanted, present), received.ingress.scheme
        )
        if self._patience is None and self._silence is None:
            return request
        return replace(request, patience=self._patience, silence=self._silence)

    def may_switch(self, _url: Url) -> bool:
        """Whether a connection may switch to another protocol when a client asks for that with the URL."""
        return True

    def answer(
        self, received: RawRequest, wanted: Wanted, present: Present, facts: Facts
    ) -> Steps[Answered]:
        """The engine's answer, whose head `present` makes for the client; raises ProxyError."""
        request = counted_down(self.request_for(received, wanted, present), received)
        if isinstance(request, Response):
            facts.note(Attempted(str(wanted.url)), ServedAs(Result.LOCAL))
            return Answered(request, is_of_cache=False)
        response = yield from self.handle(request, facts)
        return self.answered(received, response, present)

    def handle(self, request: Request, facts: Facts) -> Steps[Response]:
        """The engine's answer to a request, by the Resource of its URL in the realm."""
        return self._engine.handle(self._realm.resource(request.url), request, facts)

    def answered(self, received: RawRequest, response: Response, present: Present) -> Answered:
        """The engine's answer; memory may keep it if equal requests mean the same from all clients."""
        if self._forwarding.is_doubtful(received):
            response = replace(response, reuse_terms=None)
        return Answered(response, is_of_cache=True, present=present)
