"""Builds the gates of routes, and what decides in their place where memory answers."""

from __future__ import annotations

from collections.abc import Sequence

from pyproxycache.configuration.config import Config
from pyproxycache.front.gateway.admission import RouteGate
from pyproxycache.front.gateway.introspecting import Introspecting
from pyproxycache.front.gateway.limiting import Limiting
from pyproxycache.front.gateway.readmitting import Readmitting
from pyproxycache.front.gateway.refusing import Refusing
from pyproxycache.gates.introspection.token_tally import UNCOUNTED
from pyproxycache.gates.limits.limit_gate import LimitGate, RouteLimit
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.routing.route_table import Route
from pyproxycache.wiring.routes.counting import RouteCounting
from pyproxycache.wiring.routes.introspection import TokenGates
from pyproxycache.wiring.routes.rate_limits import build_limit_gate, limits_of


class RouteGates:
    """Builds the gates of each of the routes; `counters` are those of all limits, None without any."""

    def __init__(
        self,
        config: Config,
        routes: Sequence[Route],
        counters: SharedCounters | None,
        tokens: TokenGates,
        counting: RouteCounting,
    ) -> None:
        self._config = config
        self._routes = routes
        self._counters = counters
        self._tokens = tokens
        self._counting = counting

    def gates(self, route: Route) -> tuple[RouteGate, ...]:
        """The gates of a route in their order.

        Limits by client spare who is asked for tokens; others count valid tokens alone, so that nobody
        fills them with invented ones.
        """
        introspect = route.options.introspect
        checks: tuple[RouteGate, ...] = ()
        if introspect is not None:
            checks = (Introspecting(self._tokens.gate(introspect, route), self._counting.tokens(route)),)
        if self._counters is None:
            return checks
        before, behind = (
            (Limiting(self._limit_gate(route, some, self._counters)),) if some else ()
            for some in self._before_and_behind(route)
        )
        return (*before, *checks, *behind)

    def readmitting(self, route: Route) -> Readmitting | None:
        """What decides in the place of the route's gates; None if these have to look at each request."""
        introspect, counters = route.options.introspect, self._counters
        if introspect is not None and not introspect.remember:
            return None
        limits = [] if counters is None else limits_of(route, self._routes)
        tallies = self._counting.limits_of_memory(route, limits)
        return Readmitting(
            None if introspect is None else self._tokens.gate(introspect, route),
            build_limit_gate(self._config, limits, counters, tallies)
            if counters is not None and limits
            else None,
            UNCOUNTED if introspect is None else self._counting.tokens_of_memory(route),
        )

    def refusing(self, route: Route) -> Refusing | None:
        """What decides whether requests are still refused by limits; None if threads have to."""
        if self._counters is None:
            return None
        introspect = route.options.introspect
        before, behind = self._before_and_behind(route)
        first = before or behind
        if not first or (not before and introspect is not None and not introspect.remember):
            return None
        limits = self._limit_gate(route, first, self._counters)
        if before or introspect is None:
            return Refusing(limits)
        return Refusing(limits, self._tokens.gate(introspect, route), self._counting.tokens(route))

    def _limit_gate(
        self, route: Route, limits: Sequence[RouteLimit], counters: SharedCounters
    ) -> LimitGate:
        return build_limit_gate(self._config, limits, counters, self._counting.limits(route, limits))

    def _before_and_behind(self, route: Route) -> tuple[Sequence[RouteLimit], Sequence[RouteLimit]]:
        """The limits of a route that come before the check of tokens, and those behind it."""
        limits = limits_of(route, self._routes)
        if route.options.introspect is None:
            return limits, ()
        first = [one for one in limits if all(by.kind == "client" for by in one.by)]
        return first, [one for one in limits if one not in first]
