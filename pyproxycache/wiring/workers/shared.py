"""What a worker has with a store and without one: the way to origins, what tells of requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pyproxycache import clock
from pyproxycache.background import Count
from pyproxycache.configuration.config import Config
from pyproxycache.front.processes.worker_parts import WorkerHooks, WorkerParts
from pyproxycache.net.names import Names
from pyproxycache.report.access_log import AccessLog
from pyproxycache.report.events.events import Events
from pyproxycache.report.metrics.metrics import Metrics
from pyproxycache.report.metrics.request_metrics import RequestMetrics
from pyproxycache.report.reporter import NoteAccess, Reporter
from pyproxycache.upstream.pools.health_checks import HealthChecks
from pyproxycache.wiring.admin.operator import Operator
from pyproxycache.wiring.admin.purging import Purging
from pyproxycache.wiring.events import build_events
from pyproxycache.wiring.fetching import build_upstream
from pyproxycache.wiring.front import Below, Gates, build_parts
from pyproxycache.wiring.listening import build_guard
from pyproxycache.wiring.logs import build_access_log
from pyproxycache.wiring.routes.pools import build_health_checks, build_pools

_LOG_SECONDS = 1.0
_MOST_EVENTS_SECONDS = 5.0
_LEAST_EVENTS_SECONDS = 0.5

MakeReporter = Callable[
    [Count, NoteAccess, AccessLog | None, Events | None, RequestMetrics | None], Reporter
]


@dataclass(frozen=True, slots=True)
class WorkerTerms:
    """What a worker is built by: its configuration, and what that says but for the store."""

    config: Config
    make_reporter: MakeReporter
    gates: Gates
    operator: Operator | None

    @property
    def metrics(self) -> Metrics | None:
        """What takes the figures that parts count for the operator; None if there is none."""
        return None if self.operator is None else self.operator.metrics

    def counted(self, count: Count) -> Count:
        """What counts by `count`, and shows the operator what it is to see of that."""
        return count if self.operator is None else self.operator.counted(count)

    def reporter(self, telling: Telling, count: Count, note_access: NoteAccess) -> Reporter:
        """What reports finished requests."""
        requests = None if self.operator is None else self.operator.requests
        return self.make_reporter(count, note_access, telling.access_log, telling.events, requests)

    def parts(
        self,
        below: Below,
        memory: int,
        telling: Telling,
        close: Callable[[float], None],
        purging: Purging | None,
    ) -> WorkerParts:
        """What the worker runs, which ends by `close`.

        `memory` is how many bytes of answers are kept there. Without a store there is no `purging`.
        """
        hooks = WorkerHooks(telling.reopen, telling.finish, close)
        parts = build_parts(self.config, below, memory, hooks)
        if self.operator is None:
            return parts
        return replace(parts, admin=self.operator.parts(below.figures, purging))


class WayOut:
    """How a worker reaches origins, to which it goes by this name."""

    def __init__(self, terms: WorkerTerms, name: str) -> None:
        self.name = name
        self.guard = build_guard(terms.config)
        self.names = Names()
        self._config = terms.config
        self._pools = build_pools(terms.config, terms.metrics)
        self.upstream = build_upstream(terms.config, self.guard, name, self.names, self._pools)

    def health_checks(self, count: Count) -> HealthChecks:
        """What asks the members of pools whether they are well."""
        return build_health_checks(self._config, self._pools, self.upstream, count)


class Telling:
    """What tells of requests: access log and events, as far as the configuration asks for them."""

    def __init__(self, config: Config, count: Count) -> None:
        self.access_log = build_access_log(config.log, count)
        self.events = build_events(config.events, config.store.path, count)

    def reopen(self) -> None:
        """Open log files that were renamed anew."""
        if self.access_log is not None:
            self.access_log.reopen()

    def finish(self) -> None:
        """Have log and spool get what waits, and end the log."""
        if self.events is not None:
            self.events.flush(_LOG_SECONDS)
        if self.access_log is not None:
            self.access_log.close(_LOG_SECONDS)

    def close_events(self, stop_at: float) -> None:
        """Send events until about the time (steady seconds) at which the worker is to end."""
        if self.events is not None:
            left = stop_at - clock.steady()
            self.events.close(max(_LEAST_EVENTS_SECONDS, min(_MOST_EVENTS_SECONDS, left)))
