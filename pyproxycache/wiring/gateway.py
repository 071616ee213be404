"""Builds the gateway: what answers the requests for each route."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from pyproxycache.announced import REQUEST_ID, EventTerms
from pyproxycache.configuration.config import Config
from pyproxycache.engine import Engine
from pyproxycache.front.around.surroundings import Surroundings
from pyproxycache.front.gateway.admission import RouteGate
from pyproxycache.front.gateway.announcing import Announcing
from pyproxycache.front.gateway.client_fields import ClientFields
from pyproxycache.front.gateway.gateway import Gateway, RouteParts, unsent
from pyproxycache.front.gateway.pooled_answers import PooledAnswers
from pyproxycache.front.gateway.refreshed_route import RefreshedRoute
from pyproxycache.front.gateway.route_refresher import RouteRefresher
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.purge import Purge
from pyproxycache.front.handlers.upgrade import Upgrade
from pyproxycache.front.onward.forwarded import Forwarding
from pyproxycache.front.requests.raw_request import Present
from pyproxycache.gates.access import Access
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.passing_engine import PassingEngine
from pyproxycache.report.metrics.metrics import Metrics
from pyproxycache.route_options.events import SECRET_FIELDS, SECRET_PARAMETERS
from pyproxycache.route_options.refreshing import RefreshOptions
from pyproxycache.route_options.route import RouteOptions
from pyproxycache.routing.resource import Realm
from pyproxycache.routing.route_policies import route_policies
from pyproxycache.routing.route_table import Route
from pyproxycache.rules.refreshing import RefreshRule
from pyproxycache.upstream.client import Upstream
from pyproxycache.url import Url
from pyproxycache.wiring.routes.counting import RouteCounting
from pyproxycache.wiring.routes.gates import RouteGates
from pyproxycache.wiring.routes.introspection import TokenGates, asking
from pyproxycache.wiring.routes.pools import pool_of
from pyproxycache.wiring.routes.surroundings import build_surroundings, shown_by

_BY_CONTENT = frozenset({"QUERY"})


def build_gateway(
    config: Config,
    engine: Engine | PassingEngine,
    upstream: Upstream,
    counters: SharedCounters | None = None,
    refresher: RouteRefresher | None = None,
    metrics: Metrics | None = None,
) -> Gateway | None:
    """Build the gateway; None if the configuration has no routes.

    `counters` are those of its limits, `refresher` repeats requests for it; None without a store. `metrics`
    count what its gates decide.
    """
    routes = [Route(*one) for one in config.all_routes()]
    if not routes:
        return None
    purgers = Access(config.allow_purge, "allow_purge")
    counting = RouteCounting(metrics)
    tokens = TokenGates(asking(upstream), counting)
    route_gates = RouteGates(config, routes, counters, tokens, counting)
    parts: dict[Route, RouteParts] = {}
    for route in routes:
        realm = realm_of(route, config.targets)
        cached = _answers(config, route, realm, engine)
        upgrade: Callable[..., Upgrade] = partial(Upgrade, cached, upstream, patience=config.connect.idle)
        shown = partial(shown_by, route.options)
        gates, around = route_gates.gates(route), build_surroundings(route)
        watch = None
        if refresher is not None and _is_refreshed(route.options):
            refreshed = _refreshed(route.options, realm, cached, shown, gates, around)
            watch = partial(refresher.watch, refreshed)
        parts[route] = RouteParts(
            cached,
            upgrade(shown),
            Purge(realm, purgers, engine),
            shown,
            gates,
            route_gates.readmitting(route),
            route_gates.refusing(route),
            _secret_parameters(route),
            around,
            watch,
            announcing=_announcing(route),
        )
    return Gateway(parts, _client_fields(routes))


def _is_refreshed(options: RouteOptions) -> bool:
    return options.refresh != RefreshOptions() and not options.exclude


def _refreshed(
    options: RouteOptions,
    realm: Realm,
    cached: CachedAnswers,
    shown: Callable[[Url], Present],
    gates: Sequence[RouteGate],
    around: Surroundings,
) -> RefreshedRoute:
    """What repeats the requests of a route."""
    return RefreshedRoute(
        RefreshRule(options.refresh.every, options.refresh.hits),
        realm,
        cached,
        shown,
        gates,
        around,
        unsent=unsent(options.cache),
        stands_in=options.cache.stale_if_error is not None,
    )


def _client_fields(routes: Sequence[Route]) -> ClientFields:
    """What is taken of clients' fields: who trusts one route's field may be asked by another route, too."""
    return ClientFields(
        frozenset().union(*map(_judged, routes)), frozenset().union(*map(_known_fields, routes))
    )


def _known_fields(route: Route) -> frozenset[str]:
    """The fields that the route goes by, or changes on their way to the upstream, in lower case."""
    options, changes = route.options, route.options.headers.request
    names = [*changes.set, *changes.remove, *changes.rename, *changes.rename.values()]
    names += [REQUEST_ID] if options.request_id else []
    names += options.cache.key.headers or ()
    if options.introspect is not None:
        names += [place.name for place in options.introspect.token if place.kind == "header"]
    names += [by.name for one in options.limits.values() for by in one.by if by.kind == "header"]
    return frozenset(map(str.lower, names))


def _judged(route: Route) -> frozenset[str]:
    """The field by which the upstream gets what was found of a client's token, if the route has one."""
    introspect = route.options.introspect
    passed_on = None if introspect is None else introspect.pass_on
    return frozenset() if passed_on is None else frozenset({passed_on.header})


def _sent_tokens(route: Route) -> frozenset[str]:
    """The fields in which the upstream gets clients' tokens, by their names on the way there."""
    introspect = route.options.introspect
    places = () if introspect is None or not introspect.forward_token else introspect.token
    of_fields = {
        place.name if place.kind == "header" else "cookie" for place in places if place.kind != "query"
    }
    renamed = route.options.headers.request.rename
    return frozenset(renamed.get(name, name) for name in of_fields)


def _secret_parameters(route: Route) -> frozenset[str]:
    introspect = route.options.introspect
    places = () if introspect is None else introspect.token
    return frozenset(place.name for place in places if place.kind == "query")


def _announcing(route: Route) -> Announcing | None:
    options, introspect = route.options.events, route.options.introspect
    if options is None:
        return None
    tokens = () if introspect is None else introspect.token
    of_fields = (place.name for place in tokens if place.kind == "header")
    of_queries = (place.name.lower() for place in tokens if place.kind == "query")
    terms = EventTerms(
        f"{route.host}{route.path}",
        options.routing_key,
        frozenset((*SECRET_FIELDS, *options.redact, *of_fields)),
        frozenset((*SECRET_PARAMETERS, *options.redact_query, *of_queries)),
    )
    return Announcing(terms, options.body)


def _answers(config: Config, route: Route, realm: Realm, engine: Engine | PassingEngine) -> CachedAnswers:
    options = route.options
    forwarding, pool = Forwarding(config.forwarded, is_reverse=True), pool_of(config, options)
    patience, silence = options.timeout, options.silence
    if pool is None:
        return CachedAnswers(realm, forwarding, engine, patience=patience, silence=silence)
    return PooledAnswers(
        realm,
        forwarding,
        engine,
        pool,
        keeps_host=options.keeps_host,
        patience=patience,
        silence=silence,
    )


def realm_of(route: Route, targets: tuple[str, ...]) -> Realm:
    """The realm of the requests for a route: its rules, and what selects its answers."""
    options = route.options
    by_content = _BY_CONTENT | ({"POST"} if options.cache.key.body and not options.exclude else set())
    policies = route_policies(
        options.cache,
        _judged(route),
        targets,
        excluded=options.exclude,
        by_host=options.keeps_host,
        tokens=_sent_tokens(route),
    )
    return Realm(policies, by_content)
