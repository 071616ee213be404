"""Requests for a gateway's routes: each is let in by its route's gates, and answered by the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pyproxycache.engine import failed
from pyproxycache.errors import ProxyError
from pyproxycache.facts import Attempted, Came, Facts, Located, ServedAs
from pyproxycache.front.around.surroundings import NOTHING, Surroundings, Visit
from pyproxycache.front.gateway.admission import RouteGate, Visitor, let_in, telling
from pyproxycache.front.gateway.announcing import Announcing
from pyproxycache.front.gateway.client_fields import ClientFields
from pyproxycache.front.gateway.readmitting import Readmitting
from pyproxycache.front.gateway.refusing import Refusing
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Answered, Handler
from pyproxycache.front.handlers.upgrade import wanted_protocols
from pyproxycache.front.requests.raw_request import Present, RawRequest, Served
from pyproxycache.front.requests.target import Local, Wanted, Way
from pyproxycache.gates.introspection.token_places import without_parameters
from pyproxycache.messages import Head, Headers
from pyproxycache.outcome import Result
from pyproxycache.response import Response
from pyproxycache.route_options.caching import RouteCacheOptions
from pyproxycache.routing.route_table import Route, RouteTable, named_host
from pyproxycache.serving.responses import from_text
from pyproxycache.steps import Steps
from pyproxycache.url import Url

_OF_CLIENTS = ("Cache-Control", "Pragma")


@dataclass(frozen=True, slots=True)
class RouteParts:
    """What answers the requests for one route: `gates` in their order, then the engine or an upgrade.

    `readmitting` decides in their place of requests that memory can answer, and `refusing` of those that it
    can refuse; None: of none.
    `purge` removes what is stored of a URL. `secret` are parameters of queries that no log has. `shown`
    gives, for a URL, what makes the heads of its answers for clients. `watch` makes what is told of what
    is to be refreshed. `announcing` makes events of requests, if the route asks for that.
    """

    cached: CachedAnswers
    upgrade: Handler[Wanted]
    purge: Handler[Wanted]
    shown: Callable[[Url], Present]
    gates: Sequence[RouteGate] = ()
    readmitting: Readmitting | None = None
    refusing: Refusing | None = None
    secret: frozenset[str] = frozenset()
    around: Surroundings = NOTHING
    watch: Callable[[RawRequest, Wanted], Served] | None = None
    announcing: Announcing | None = None


class Gateway:
    """Answers requests for routes, of which each has its parts; all take the same fields of clients."""

    def __init__(self, parts: Mapping[Route, RouteParts], client_fields: ClientFields) -> None:
        self._table = RouteTable(parts)
        self._parts = parts
        self._client_fields = client_fields

    def route_of(self, received: RawRequest, local: Local) -> Route | None:
        """The route that the request is for; None if there is none. Raises BadRequest."""
        return self._table.find(named_host(received.field("host")), local.path)

    def answer(self, received: RawRequest, target: Local, route: Route, facts: Facts) -> Steps[Answered]:
        """The answer to a request for the route; raises ProxyError."""
        announcing = self._parts[route].announcing
        if announcing is None:
            return self._answer(received, target, route, facts)
        return announcing.answer(received, facts, lambda one: self._answer(one, target, route, facts))

    def _answer(self, received: RawRequest, target: Local, route: Route, facts: Facts) -> Steps[Answered]:
        facts.note(Came(Way.ROUTE.value, route.host + route.path), Attempted(target.path))
        parts = self._parts[route]
        received = replace(received, headers=self._client_fields.taken(received.headers))
        wanted = Wanted(route.url_of(target.target), way=Way.ROUTE)
        facts.note(Located(without_parameters(wanted.url, parts.secret)))
        if received.method == "PURGE":
            return (yield from parts.purge.answer(received, wanted, facts))
        if parts.watch is not None:
            received = replace(received, served=parts.watch(received, wanted))
        visit = parts.around.enter(received, facts)
        if (preflight := visit.preflight()) is not None:
            facts.note(ServedAs(Result.LOCAL))
            return Answered(preflight, is_of_cache=False)
        try:
            answered = yield from self._answered(visit, wanted, route, facts)
        except ProxyError as error:
            answered = Answered(failed(error, facts), is_of_cache=False)
        return visit.left(answered)

    def _answered(self, visit: Visit, wanted: Wanted, route: Route, facts: Facts) -> Steps[Answered]:
        parts, options, received = self._parts[route], route.options, visit.received
        if (refusal := visit.refusal()) is not None:
            return _refused(refusal, facts)
        if not options.takes(received.method):
            return _refused(_not_allowed(options.taken_methods), facts)
        visitor = Visitor(received, received.headers, {}, wanted.url)
        admitted = yield from let_in(parts.gates, visitor, facts)
        if isinstance(admitted, Response):
            refusing = parts.refusing
            terms = None if refusing is None else refusing.terms(admitted, visitor)
            return _refused(replace(admitted, refusal_terms=terms), facts)
        fields, wanted = admitted.fields, replace(wanted, url=admitted.visitor.url)
        headers = admitted.visitor.headers.without(*unsent(options.cache))
        admitted_request = replace(received, headers=visit.onward(headers), interim=visit.interim())
        try:
            if wanted_protocols(received):
                answered = yield from parts.upgrade.answer(admitted_request, wanted, facts)
            else:
                present = parts.shown(wanted.url)
                answered = yield from parts.cached.answer(admitted_request, wanted, present, facts)
        except ProxyError as error:
            raise telling(error, fields) from error
        if not parts.gates:
            return answered
        response = answered.response
        if (reuse_terms := response.reuse_terms) is not None:
            readmitting = parts.readmitting
            if readmitting is None:
                response = replace(response, reuse_terms=None)
            else:
                reuse_terms = replace(reuse_terms, readmission=readmitting.of(admitted.visitor))
                response = replace(response, reuse_terms=reuse_terms)
        return replace(answered, response=response, present=_with(fields, answered.present))


def unsent(options: RouteCacheOptions) -> tuple[str, ...]:
    """The fields of clients that do not go on: how fresh answers are is the operator's to say."""
    return () if options.ttl is None else _OF_CLIENTS


def _with(fields: tuple[tuple[str, str], ...], present: Present) -> Present:
    """What makes a client's head, with these fields in place of the upstream's own."""
    names = {name.lower() for name, _value in fields}

    def made(head: Head) -> Head:
        shown = present(head)
        return shown.with_headers(Headers((*shown.headers.lacking(names), *fields)))

    return made


def _refused(response: Response, facts: Facts) -> Answered:
    facts.note(ServedAs(Result.REFUSED))
    return Answered(response, is_of_cache=False)


def _not_allowed(methods: Sequence[str]) -> Response:
    allowed = ", ".join(methods)
    return from_text(405, f"this route takes {allowed}").with_lines([("Allow", allowed)])
