"""Builds a worker with its store."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pyproxycache import clock
from pyproxycache.configuration.config import Config
from pyproxycache.engine import Engine
from pyproxycache.fetching.refreshes.renewing import Renewer
from pyproxycache.front.gateway.kept_requests import KeptRequests
from pyproxycache.front.gateway.route_refresher import RouteRefresher
from pyproxycache.front.processes.heap import HeapTrim
from pyproxycache.front.processes.worker_parts import WorkerParts
from pyproxycache.report import counters
from pyproxycache.report.figures import Figures
from pyproxycache.route_options.refreshing import RefreshOptions
from pyproxycache.store.index.index import Index
from pyproxycache.store.ports import Flights
from pyproxycache.store.upkeep.housekeeping import Housekeeper
from pyproxycache.store.upkeep.verifying import Verifier
from pyproxycache.wiring.admin.purging import Purging
from pyproxycache.wiring.fetching import build_components, build_leading
from pyproxycache.wiring.front import Below
from pyproxycache.wiring.stored import OpenStore, open_store
from pyproxycache.wiring.workers.shared import Telling, WayOut, WorkerTerms

log = logging.getLogger("pyproxycache")


def build_with_store(terms: WorkerTerms) -> WorkerParts:
    """Build the parts of a worker with its store; raises StoreError if that cannot be opened."""
    config = terms.config
    store = open_store(config.store, None if terms.operator is None else terms.operator.store.evicted)
    out = WayOut(terms, f"pyproxycache-{store.index.instance()}")
    housekeeper = _housekeeper(terms, store, out)
    count = terms.counted(housekeeper.count)
    kept = KeptRequests(store.index.uses) if _refreshes(config) else None
    note_access = _noting(housekeeper, kept)
    admit, received = out.guard.admit_peer, _receiving(terms, housekeeper)
    leading = build_leading(config, store, out.upstream, admit, received)
    components = build_components(config, store, leading, admit, note_access)
    renewer = Renewer(components.lookup, components.fetcher, store.index)
    refresher = None if kept is None else RouteRefresher(kept, renewer, count)
    telling = Telling(config, count)
    verifier = Verifier(config.store.verify, store.index, store.blob_rows, store.blobs, store.fsck, count)
    health_checks = out.health_checks(count)

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
        telling.close_events(stop_at)
        housekeeper.close()
        telling.finish()

    below = Below(
        name=out.name,
        engine=Engine(components),
        upstream=out.upstream,
        names=out.names,
        guard=out.guard,
        gates=terms.gates,
        reporter=terms.reporter(telling, housekeeper.count, note_access),
        versions=store.index.versions,
        figures=lambda: _figures(config, store.index, leading.flights),
        refresher=refresher,
        metrics=terms.metrics,
    )
    parts = terms.parts(below, config.memory, telling, close, Purging(config, store))
    # Last: if something fails before, no thread runs on beside the worker without a store.
    housekeeper.start()
    verifier.start()
    if refresher is not None:
        refresher.start()
    health_checks.start()
    return parts


def _housekeeper(terms: WorkerTerms, store: OpenStore, out: WayOut) -> Housekeeper:
    chores = (
        store.clock_changes.look,
        out.upstream.close_unwanted,
        HeapTrim().trim,
        store.database.set_aside_if_damaged,
        store.blobs.remove_discarded,
    )
    return Housekeeper(store.index, store.space, chores, terms.counted)


def _receiving(terms: WorkerTerms, housekeeper: Housekeeper) -> Callable[[int], None]:
    """What counts the bytes that origins have sent."""

    def count_received(count: int) -> None:
        housekeeper.count(counters.received(count))
        if terms.operator is not None:
            terms.operator.requests.received(count)

    return count_received


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


def _figures(config: Config, index: Index, flights: Flights) -> Figures:
    usage = index.usage()
    return Figures(
        used=usage.bytes,
        limit=config.store.max_size,
        entries=usage.entries,
        downloading=len(flights.running()),
        counters=index.counters(),
    )
