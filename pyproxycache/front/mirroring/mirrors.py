"""Requests for mirrors, by paths of the cache: /NAME/ and what is below it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from pyproxycache import clock
from pyproxycache.body import EMPTY
from pyproxycache.facts import Attempted, Came, Facts, Located, ServedAs
from pyproxycache.front.gating.gated_answers import GatedPlaces
from pyproxycache.front.gating.judgements import ReleaseGate, judged
from pyproxycache.front.gating.release_refusals import RefusedRelease
from pyproxycache.front.gating.release_view import ReleaseView
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.mirroring.failing_upstreams import FailingUpstreams
from pyproxycache.front.mirroring.mirror import Mirror
from pyproxycache.front.mirroring.showing import Showing
from pyproxycache.front.presentation.references import as_it_is
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Local, Wanted
from pyproxycache.messages import Head, Headers, Request
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.outcome import Result
from pyproxycache.response import Response
from pyproxycache.rules.grammar import split_list
from pyproxycache.rules.redirection import FOR_ONE_ORIGIN
from pyproxycache.rules.userinfo import without_userinfo
from pyproxycache.steps import Steps
from pyproxycache.url import Url

# It may be there for others: another upstream may have it, and let this cache read it.
_REFUSED = frozenset({401, 403})


class Mirrors:
    """Answers for all mirrors: their upstreams are asked in turn, and links in documents lead back here.

    `public` gives the address by which a request's client knows the cache ("http://cache:3128"). `is_shown`
    takes each file that a document names, and says whether clients are to see it. `gates` has those of
    mirrors that do not give all releases, by name; `elsewhere` has all gates, which count for files of
    other hosts.
    """

    def __init__(
        self,
        mirrors: Iterable[Mirror],
        cached: CachedAnswers,
        public: Callable[[RawRequest], str],
        is_shown: Callable[[NamedFile], bool],
        gates: Mapping[str, ReleaseGate],
        elsewhere: GatedPlaces,
    ) -> None:
        self._mirrors = {one.name: one for one in mirrors}
        self._cached = cached
        self._public = public
        self._is_shown = is_shown
        self._gates = gates
        self._elsewhere = elsewhere
        self._failing = FailingUpstreams()

    @property
    def paths(self) -> re.Pattern[str]:
        """The paths that are below a mirror."""
        return re.compile(rf"/(?:{'|'.join(map(re.escape, self._mirrors))})(?:/.*)?", re.DOTALL)

    def answer(self, received: RawRequest, target: Local, facts: Facts) -> Steps[Answered]:
        """The answer of the first upstream that has it; raises ProxyError.

        While one with packages of its own fails or refuses, no other is asked in its place. If none has it
        and one has failed or refuses it, that is the answer, as that one may have it.
        """
        facts.note(Attempted(without_userinfo(target.path)))
        name, _, path = target.path[1:].partition("/")
        facts.note(Came("mirror", name))
        mirror = self._mirrors[name]
        if mirror.offers(path):
            facts.note(ServedAs(Result.LOCAL))
            return Answered(Response(Head(200, "OK")), is_of_cache=False)
        wanted = mirror.wanted(f"{path}?{target.query}" if target.query else path)
        if not _is_read(received):
            return (yield from self._asked(received, mirror, wanted[0], facts))
        failure: Answered | None = None
        own = wanted[:1] if mirror.own_first else ()
        rest = [*own, *self._failing.last(wanted[len(own) :], clock.steady())]
        while True:
            one = rest.pop(0)
            answered = yield from self._asked(received, mirror, one, facts)
            status = answered.response.head.status
            has_failed = status >= 500 or status == 429
            if len(wanted) > 1:  # else there is no order, and the host may be any that a client names
                self._failing.note(one.url.origin, clock.steady(), has_failed=has_failed)
            is_failure = has_failed or status in _REFUSED
            if is_failure and one in own:
                return answered
            if is_failure and failure is None:
                failure = answered
            elif is_failure or (status in mirror.ecosystem.absent and (rest or failure)):
                answered.response.body.close()
            else:
                if failure is not None:
                    failure.response.body.close()
                return answered
            if failure is not None and not rest:
                return failure

    def _asked(self, received: RawRequest, mirror: Mirror, wanted: Wanted, facts: Facts) -> Steps[Answered]:
        """The answer of one upstream, as far as the gate before it gives what is asked for."""
        facts.note(Located(wanted.url))
        path = mirror.path_below(wanted.url)
        request = self._request(received, mirror, wanted, path)
        showing = Showing(mirror, self._public(received), path or "")
        gate, below = self._gate(mirror, wanted.url, path)
        is_lasting = True
        if gate is not None:
            said = yield from judged(gate, request, below, facts)
            if isinstance(said, Response):
                return _refusal(said, facts)
            if isinstance(said, ReleaseView):
                viewed = showing.viewed(said, request)
                if isinstance(viewed, RefusedRelease):
                    return _refusal(viewed, facts)
                return self._cached.answered(received, viewed, showing.present(wanted.url))
            is_lasting = said.is_lasting
        may_have_links = path is not None and mirror.ecosystem.may_have_links(path)
        if may_have_links and _is_read(request):
            request = showing.asked(request)
            response = yield from self._handled(mirror, request, path, facts)
            response = showing.shown(response, request, self._is_shown)
        else:
            response = yield from self._handled(mirror, request, path, facts)
        if not is_lasting:
            response = replace(response, reuse_terms=None)
        return self._cached.answered(received, response, showing.present(wanted.url))

    def _request(self, received: RawRequest, mirror: Mirror, wanted: Wanted, path: str | None) -> Request:
        """The request as the upstream gets it, for this path below it, None: for another host."""
        request = self._cached.request_for(received, wanted, as_it_is)
        request = request.with_headers(_storable(request.headers))
        if not mirror.trusts(wanted.url):
            request = request.with_headers(request.headers.without(*FOR_ONE_ORIGIN))
        if not _is_read(request):  # what changes something is sent once, as it came
            return replace(request, follows_redirects=False)
        follows = path is None or not mirror.ecosystem.shows_redirects(path)
        access = None if "authorization" in request.headers else mirror.access(wanted.url)
        request = replace(
            request, follows_redirects=follows, repositories=mirror.repositories, access=access
        )
        asking = None if path is None else mirror.ecosystem.asked(path)
        if asking is None:
            return request
        return request.with_headers(request.headers.with_field("Accept", asking.accept))

    def _gate(self, mirror: Mirror, url: Url, path: str | None) -> tuple[ReleaseGate | None, str | None]:
        """The gate before what is asked for, and the path as that takes it; raises BadRequest."""
        gate = self._gates.get(mirror.name)
        if path is not None:
            # Its own, unless another mirror is of a part of the same server.
            base = url.path[: len(url.path) - len(path) - 1]
            return self._elsewhere.within(base).of(url) or (gate, path)
        return (gate, path) if gate is not None else self._elsewhere.of(url) or (None, None)

    def _handled(self, mirror: Mirror, request: Request, path: str | None, facts: Facts) -> Steps[Response]:
        """The engine's answer; to a HEAD, where the ecosystem says so, that to a GET, without its body."""
        if request.method != "HEAD" or path is None or not mirror.ecosystem.heads_by_get(path):
            return (yield from self._cached.handle(request, facts))
        whole = request.headers.without("Range", "If-Range")
        response = yield from self._cached.handle(replace(request, method="GET", headers=whole), facts)
        response.body.close()
        return Response(response.head, EMPTY, response.length)


def _is_read(request: RawRequest | Request) -> bool:
    """Whether the request only reads."""
    return request.method in ("GET", "HEAD")


def _refusal(response: Response, facts: Facts) -> Answered:
    """The answer without a release: one that is refused, or the failure of the upstream."""
    if isinstance(response, RefusedRelease):
        facts.note(ServedAs(Result.REFUSED))
        return Answered(response, is_of_cache=False)
    return Answered(replace(response, reuse_terms=None), is_of_cache=True)


def _storable(headers: Headers) -> Headers:
    """The fields of a request without no-store, by which clients of mirrors mean their own store."""
    asked = split_list(headers.get("cache-control") or "")
    kept = [one for one in asked if one.lower() != "no-store"]
    if len(kept) == len(asked):
        return headers
    rest = headers.without("Cache-Control")
    return rest.with_field("Cache-Control", ", ".join(kept)) if kept else rest
