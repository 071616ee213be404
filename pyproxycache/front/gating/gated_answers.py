"""The engine's answers for clients who ask for URLs themselves, as release gates let them have these."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote

from pyproxycache.engine import Engine
from pyproxycache.errors import BadRequest
from pyproxycache.facts import Attempted, Facts, ServedAs
from pyproxycache.front.gating.judgements import ReleaseGate, judged
from pyproxycache.front.gating.release_refusals import RefusedRelease
from pyproxycache.front.gating.release_view import ReleaseView
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.onward.forwarded import Forwarding
from pyproxycache.front.presentation.changed_bodies import mark_of
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.messages import Request
from pyproxycache.outcome import Result
from pyproxycache.passing_engine import PassingEngine
from pyproxycache.response import Response
from pyproxycache.routing.resource import Realm
from pyproxycache.rules.host_patterns import HostPatterns
from pyproxycache.steps import Steps
from pyproxycache.url import DEFAULT_PORTS, Url, leads_upward

_AMBIGUOUS = "the path may lead to another one, and not all releases there are given"


@dataclass(frozen=True, slots=True)
class GatedPlace:
    """URLs that the gate stands before; None: all of them are open.

    They are below `base`, a path without a slash at its end, of one `upstream`, or of `hosts`. Where not
    `has_documents`, only files are there, whose documents are elsewhere.
    """

    gate: ReleaseGate | None
    base: str
    upstream: Url | None = None
    hosts: HostPatterns | None = None
    has_documents: bool = True

    def is_of(self, url: Url) -> bool:
        """Whether the URL is of the host of these."""
        is_fitting = self.hosts is None or self.hosts.fits(url.host)
        return is_fitting and (self.upstream is None or _is_at(url, self.upstream))

    def has(self, url: Url) -> bool:
        """Whether the URL is one of these, as any origin may read it."""
        plain = re.sub("/{2,}", "/", unquote(url.path))
        return self.is_of(url) and plain.startswith(f"{unquote(self.base)}/")

    def path_below(self, url: Url) -> str | None:
        """The path of the URL as the gate takes it; raises BadRequest where it may be another one."""
        if not url.path.startswith(f"{self.base}/"):
            raise BadRequest(_AMBIGUOUS)
        return url.path[len(self.base) + 1 :] if self.has_documents else None


def _is_at(url: Url, upstream: Url) -> bool:
    """Whether the URL is of the upstream's host: of the same port, or of either scheme's default."""
    ports = ((url.scheme, url.port), (upstream.scheme, upstream.port))
    is_same = url.port == upstream.port or all(DEFAULT_PORTS.get(scheme) == port for scheme, port in ports)
    return url.host.removesuffix(".") == upstream.host.removesuffix(".") and is_same


class GatedPlaces:
    """All places with gates: the first that has a URL counts."""

    def __init__(self, places: Iterable[GatedPlace]) -> None:
        self._places = tuple(places)

    def within(self, base: str) -> GatedPlaces:
        """Those that lie further down than this path, which has no slash at its end."""
        return GatedPlaces(one for one in self._places if one.base.startswith(f"{base}/"))

    def of(self, url: Url) -> tuple[ReleaseGate, str | None] | None:
        """The gate before the URL, and the URL's path as it takes that; None: the URL is open.

        Raises BadRequest.
        """
        if leads_upward(url.path) and any(one.is_of(url) and one.gate is not None for one in self._places):
            raise BadRequest(_AMBIGUOUS)
        place = next((one for one in self._places if one.has(url)), None)
        return None if place is None or place.gate is None else (place.gate, place.path_below(url))


class GatedAnswers(CachedAnswers):
    """Has the engine answer as CachedAnswers does, as far as gates give what is asked for."""

    def __init__(
        self,
        realm: Realm,
        forwarding: Forwarding,
        engine: Engine | PassingEngine,
        places: GatedPlaces,
    ) -> None:
        super().__init__(realm, forwarding, engine)
        self._places = places

    def may_switch(self, url: Url) -> bool:
        """Whether a connection may switch protocols for the URL: not where a gate stands.

        Raises BadRequest.
        """
        return self._places.of(url) is None

    def handle(self, request: Request, facts: Facts) -> Steps[Response]:
        """The answer to a request, as far as the gate before its URL lets it through."""
        found = self._places.of(request.url)
        if found is None:
            return (yield from super().handle(request, facts))
        gate, path = found
        said = yield from judged(gate, request, path, facts)
        if isinstance(said, RefusedRelease):
            facts.note(Attempted(str(request.url)), ServedAs(Result.REFUSED))
            return said
        if isinstance(said, Response):
            return replace(said, reuse_terms=None)
        if isinstance(said, ReleaseView):
            # References stay as the origin has them: they mean the same to the client.
            return said.answer(request, mark_of(said.state, said.media_type), str)
        response = yield from super().handle(request, facts)
        return response if said.is_lasting else replace(response, reuse_terms=None)

    def answered(self, received: RawRequest, response: Response, present: Present) -> Answered:
        """The answer for the client; a refusal is the cache's own."""
        if isinstance(response, RefusedRelease):
            return Answered(response, is_of_cache=False)
        return super().answered(received, response, present)
