"""Builds what counts for the operator what gates of routes decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyproxycache.gates.introspection.token_tally import UNCOUNTED, NoteQuestion, TokenTally, unnoted
from pyproxycache.gates.limits.limit_gate import RouteLimit
from pyproxycache.gates.limits.limit_tally import LimitTally
from pyproxycache.report.metrics.gate_metrics import GateMetrics
from pyproxycache.report.metrics.metrics import Metrics
from pyproxycache.routing.route_table import Route


class RouteCounting:
    """Makes what counts for a route, by the name that its requests have; without metrics nothing does."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._gates = None if metrics is None else GateMetrics(metrics)

    def limits(self, route: Route, limits: Sequence[RouteLimit]) -> Mapping[str, LimitTally]:
        """What counts what each limit decides, by their names."""
        if self._gates is None:
            return {}
        return {one.name: self._gates.of_limit(_name(route), one.name) for one in limits}

    def limits_of_memory(self, route: Route, limits: Sequence[RouteLimit]) -> Mapping[str, LimitTally]:
        """As `limits`, for memory: what it refuses comes to the gates, which count it."""
        if self._gates is None:
            return {}
        return {one.name: self._gates.of_limit_by_memory(_name(route), one.name) for one in limits}

    def tokens(self, route: Route) -> TokenTally:
        """What counts the route's requests by their tokens."""
        return UNCOUNTED if self._gates is None else self._gates.of_tokens(_name(route))

    def tokens_of_memory(self, route: Route) -> TokenTally:
        """As `tokens`, for memory."""
        return UNCOUNTED if self._gates is None else self._gates.of_tokens_by_memory(_name(route))

    def questions(self, route: Route) -> NoteQuestion:
        """What notes the questions that are asked for tokens."""
        return unnoted if self._gates is None else self._gates.of_questions(_name(route))


def _name(route: Route) -> str:
    return route.host + route.path
