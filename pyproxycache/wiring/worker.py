"""Builds a worker: with its store, or passing requests on while there is none."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace

from pyproxycache import clock
from pyproxycache.background import Background, Count, Rounds
from pyproxycache.configuration.config import Config
from pyproxycache.engine import Engine
from pyproxycache.errors import StoreError
from pyproxycache.fetching.refreshes.renewing import Renewer
from pyproxycache.front.gateway.kept_requests import KeptRequests
from pyproxycache.front.gateway.route_refresher import RouteRefresher
from pyproxycache.front.processes.heap import HeapTrim
from pyproxycache.front.processes.worker_parts import WorkerHooks, WorkerParts
from pyproxycache.gates.htpasswd import UsersFile
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.net.names import Names
from pyproxycache.passing_engine import PassingEngine
from pyproxycache.report import counters
from pyproxycache.report.access_log import AccessLog
from pyproxycache.report.events.events import Events
from pyproxycache.report.figures import Figures
from pyproxycache.report.metrics.metrics import Metrics
from pyproxycache.report.metrics.request_metrics import RequestMetrics
from pyproxycache.report.reporter import NoteAccess, Reporter
from pyproxycache.route_options.refreshing import RefreshOptions
from pyproxycache.store.index.index import Index
from pyproxycache.store.ports import Flights
from pyproxycache.store.upkeep.housekeeping import Housekeeper
from pyproxycache.store.upkeep.verifying import Verifier
from pyproxycache.tls.leaf_tls import LeafTls
from pyproxycache.wiring.admin.operator import Operator, OperatorSetup, build_operator
from pyproxycache.wiring.admin.purging import Purging
from pyproxycache.wiring.fetching import build_components, build_leading, build_upstream
from pyproxycache.wiring.front import Below, Gates, build_parts
from pyproxycache.wiring.interception import build_interception, build_leaf_tls
from pyproxycache.wiring.listening import build_guard
from pyproxycache.wiring.rate_limits import build_counters
from pyproxycache.wiring.reporting import build_access_log, build_events
from pyproxycache.wiring.routes.pools import build_health_checks, build_pools
from pyproxycache.wiring.stored import open_store
from pyproxycache.wiring.users import build_authentication, with_changes

log = logging.getLogger("pyproxycache")

_LOG_SECONDS = 1.0
_MOST_EVENTS_SECONDS = 5.0
_LEAST_EVENTS_SECONDS = 0.5


MakeReporter = Callable[
    [Count, NoteAccess, AccessLog | None, Events | None, RequestMetrics | None], Reporter
]


def build_worker(
    config: Config,
    ask_for_store: Callable[[], None] = lambda: None,
    make_reporter: MakeReporter = Reporter,
    users: UsersFile | None = None,
    leaf_tls: LeafTls | None = None,
    counters: SharedCounters | None = None,
    operator: OperatorSetup | None = None,
) -> WorkerParts:
    """Build the parts that a worker runs, after the fork.

    If the store cannot be opened, `ask_for_store` is called, and the worker passes requests on. `users`,
    `leaf_tls` and `counters` are what the master has made; without them they are made here. With
    `operator` the admin listener is answered.
    """
    interception = build_interception(config, leaf_tls or build_leaf_tls(config))
    watched = build_operator(config, operator)
    counters = counters or build_counters(config)
    if config.proxy_auth is None:
        return _build(config, ask_for_store, make_reporter, Gates(None, interception, counters), watched)
    file = users or UsersFile(config.proxy_auth.users)
    authentication = build_authentication(config.proxy_auth, file)
    parts = _build(
        config, ask_for_store, make_reporter, Gates(authentication, interception, counters), watched
    )
    return with_changes(parts, file, authentication)


def _build(
    config: Config,
    ask_for_store: Callable[[], None],
    make_reporter: MakeReporter,
    gates: Gates,
    operator: Operator | None,
) -> WorkerParts:
    try:
        return _with_store(config, make_reporter, gates, operator)
    except StoreError as error:
        log.error("there is no store, and requests are passed on: %s", error)
        ask_for_store()
        return _without_store(config, str(error), make_reporter, gates, operator)


def _with_store(
    config: Config, make_reporter: MakeReporter, gates: Gates, operator: Operator | None
) -> WorkerParts:
    store = open_store(config.store, None if operator is None else operator.store.evicted)
    name = f"pyproxycache-{store.index.instance()}"
    guard, names, pools = build_guard(config), Names(), build_pools(config, _metrics(operator))
    upstream = build_upstream(config, guard, name, names, pools)
    chores = (
        store.clock_changes.look,
        upstream.close_unwanted,
        HeapTrim().trim,
        store.database.set_aside_if_damaged,
        store.blobs.remove_discarded,
    )
    counted = _counted(operator)
    housekeeper = Housekeeper(store.index, store.space, chores, counted)
    count = counted(housekeeper.count)

    def count_received(count: int) -> None:
        housekeeper.count(counters.received(count))
        if operator is not None:
            operator.requests.received(count)

    kept = KeptRequests(store.index.uses) if _refreshes(config) else None
    note_access = _noting(housekeeper, kept)
    leading = build_leading(config, store, upstream, guard.admit_peer, count_received)
    components = build_components(config, store, leading, guard.admit_peer, note_access)
    renewer = Renewer(components.lookup, components.fetcher, store.index)
    refresher = None if kept is None else RouteRefresher(kept, renewer, count)
    access_log = build_access_log(config.log, count)
    events = build_events(config.events, config.store.path, count)
    verifier = Verifier(config.store.verify, store.index, store.blob_rows, store.blobs, store.fsck, count)
    finish_logs = _finishing(access_log, events)
    health_checks = build_health_checks(config, pools, upstream, count)

    def close(seconds: float) -> None:
        stop_at = clock.steady() + seconds
        health_checks.close()
        verifier.close()
        components.refresher.close()
        if refresher is not None:
            refresher.close()
        leading.documents.close()
        left = leading.downloads.drain(seconds)
        if left:
            log.warning("%d downloads are not finished; the next request for each goes on from there", left)
        if events is not None:
            events.close(_for_events(stop_at))
        housekeeper.close()
        finish_logs()

    below = Below(
        name=name,
        engine=Engine(components),
        upstream=upstream,
        names=names,
        guard=guard,
        gates=gates,
        reporter=make_reporter(housekeeper.count, note_access, access_log, events, _requests(operator)),
        versions=store.index.versions,
        figures=lambda: _figures(config, store.index, leading.flights),
        refresher=refresher,
        metrics=_metrics(operator),
    )
    hooks = WorkerHooks(access_log.reopen if access_log else _ignore, finish_logs, close)
    parts = build_parts(config, below, config.memory, hooks)
    if operator is not None:
        parts = replace(parts, admin=operator.parts(below.figures, Purging(config, store)))
    # Last: if something fails before, no thread runs on beside the worker without a store.
    housekeeper.start()
    verifier.start()
    if refresher is not None:
        refresher.start()
    health_checks.start()
    return parts


def _refreshes(config: Config) -> bool:
    """Whether there is a route whose answers are refreshed."""
    return any(route.refresh != RefreshOptions() for _host, _path, route in config.all_routes())


def _noting(housekeeper: Housekeeper, kept: KeptRequests | None) -> Callable[..., None]:
    """What notes accesses, also for the requests that are kept."""
    if kept is None:
        return housekeeper.note_access

    def note_access(entry_id: int, now: float, times: int = 1) -> None:
        housekeeper.note_access(entry_id, now, times)
        kept.accessed(entry_id, now)

    return note_access


def _without_store(
    config: Config, why: str, make_reporter: MakeReporter, gates: Gates, operator: Operator | None
) -> WorkerParts:
    """Build the parts of a worker that has no store, and passes requests on."""
    name, guard, names = f"pyproxycache-{secrets.token_hex(4)}", build_guard(config), Names()
    pools, count = build_pools(config, _metrics(operator)), _counted(operator)(_ignore)
    upstream = build_upstream(config, guard, name, names, pools)
    health_checks = build_health_checks(config, pools, upstream, count)
    access_log = build_access_log(config.log, count)
    events = build_events(config.events, config.store.path, count)
    finish_logs = _finishing(access_log, events)

    rounds = Rounds((upstream.close_unwanted, HeapTrim().trim), Background("housekeeping", log, count))

    def figures() -> Figures:
        raise StoreError(why)

    def close(seconds: float) -> None:
        stop_at = clock.steady() + seconds
        health_checks.close()
        rounds.close()
        if events is not None:
            events.close(_for_events(stop_at))
        finish_logs()

    below = Below(
        name=name,
        engine=PassingEngine(upstream, why, "store-failed"),
        upstream=upstream,
        names=names,
        guard=guard,
        gates=gates,
        reporter=make_reporter(_ignore, _ignore, access_log, events, _requests(operator)),
        versions=memoryview(bytearray(8)).cast("Q"),  # of no key: memory gives no answer
        figures=figures,
        metrics=_metrics(operator),
    )
    hooks = WorkerHooks(access_log.reopen if access_log else _ignore, finish_logs, close)
    parts = build_parts(config, below, 0, hooks)
    if operator is not None:
        parts = replace(parts, admin=operator.parts(figures, None))
    rounds.start()
    health_checks.start()
    return parts


def _figures(config: Config, index: Index, flights: Flights) -> Figures:
    usage = index.usage()
    return Figures(
        used=usage.bytes,
        limit=config.store.max_size,
        entries=usage.entries,
        downloading=len(flights.running()),
        counters=index.counters(),
    )


def _metrics(operator: Operator | None) -> Metrics | None:
    return None if operator is None else operator.metrics


def _counted(operator: Operator | None) -> Callable[[Count], Count]:
    """What has that which is counted shown to the operator, too."""
    return (lambda count: count) if operator is None else operator.counted


def _requests(operator: Operator | None) -> RequestMetrics | None:
    return None if operator is None else operator.requests


def _finishing(access_log: AccessLog | None, events: Events | None) -> Callable[[], None]:
    """Make the call that has access log and spool, as far as there are such, get what waits, and end."""

    def finish() -> None:
        if events is not None:
            events.flush(_LOG_SECONDS)
        if access_log is not None:
            access_log.close(_LOG_SECONDS)

    return finish


def _for_events(stop_at: float) -> float:
    """How many seconds a worker that is to end at that time (steady seconds) sends events for."""
    return max(_LEAST_EVENTS_SECONDS, min(_MOST_EVENTS_SECONDS, stop_at - clock.steady()))


def _ignore(*_what: object, **_more: object) -> None:
    """Take a call that has no effect here."""
