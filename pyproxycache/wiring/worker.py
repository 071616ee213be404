"""Builds a worker: with its store, or passing requests on while there is none."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from functools import partial

from pyproxycache.background import Background, Count, Rounds
from pyproxycache.configuration.config import Config
from pyproxycache.engine import Engine
from pyproxycache.errors import StoreError
from pyproxycache.front.processes.heap import HeapTrim
from pyproxycache.front.processes.worker_parts import WorkerHooks, WorkerParts
from pyproxycache.gates.authentication import Authentication
from pyproxycache.gates.htpasswd import UsersFile
from pyproxycache.report import counters
from pyproxycache.report.access_log import AccessLog
from pyproxycache.report.figures import Figures
from pyproxycache.report.reporter import NoteAccess, Reporter
from pyproxycache.store.index.index import Index
from pyproxycache.store.ports import Flights
from pyproxycache.store.upkeep.housekeeping import Housekeeper
from pyproxycache.store.upkeep.verifying import Verifier
from pyproxycache.storeless_engine import StorelessEngine
from pyproxycache.wiring.fetching import build_components, build_leading, build_upstream
from pyproxycache.wiring.front import Below, build_parts
from pyproxycache.wiring.listening import build_guard
from pyproxycache.wiring.reporting import build_access_log
from pyproxycache.wiring.stored import open_store
from pyproxycache.wiring.users import build_authentication, with_changes

log = logging.getLogger("pyproxycache")

_LOG_SECONDS = 1.0


MakeReporter = Callable[[Count, NoteAccess, AccessLog | None], Reporter]


def build_worker(
    config: Config,
    ask_for_store: Callable[[], None] = lambda: None,
    make_reporter: MakeReporter = Reporter,
    users: UsersFile | None = None,
) -> WorkerParts:
    """Build the parts that a worker runs, after the fork.

    If the store cannot be opened, `ask_for_store` is called, and the worker passes requests on. `users` are
    those that the master has read; without them their file is read here.
    """
    if config.proxy_auth is None:
        return _build(config, ask_for_store, make_reporter, None)
    file = users or UsersFile(config.proxy_auth.users)
    authentication = build_authentication(config.proxy_auth, file)
    return with_changes(_build(config, ask_for_store, make_reporter, authentication), file, authentication)


def _build(
    config: Config,
    ask_for_store: Callable[[], None],
    make_reporter: MakeReporter,
    authentication: Authentication | None,
) -> WorkerParts:
    try:
        return _with_store(config, make_reporter, authentication)
    except StoreError as error:
        log.error("there is no store, and requests are passed on: %s", error)
        ask_for_store()
        return _without_store(config, str(error), make_reporter, authentication)


def _with_store(
    config: Config, make_reporter: MakeReporter, authentication: Authentication | None
) -> WorkerParts:
    store = open_store(config.store)
    name = f"pyproxycache-{store.index.instance()}"
    guard = build_guard(config)
    upstream = build_upstream(config, guard, name)
    chores = (
        store.clock_changes.look,
        upstream.close_unwanted,
        HeapTrim().trim,
        store.database.set_aside_if_damaged,
        store.blobs.remove_discarded,
    )
    housekeeper = Housekeeper(store.index, store.space, chores)

    def count_received(count: int) -> None:
        housekeeper.count(counters.received(count))

    leading = build_leading(config, store, upstream, guard.admit_peer, count_received)
    components = build_components(config.fetch, store, leading, guard.admit_peer, housekeeper.note_access)
    access_log = build_access_log(config.log, housekeeper.count)
    verifier = Verifier(
        config.store.verify, store.index, store.blob_rows, store.blobs, store.fsck, housekeeper.count
    )
    finish_logs = _finishing(access_log)

    def close(seconds: float) -> None:
        verifier.close()
        components.refresher.close()
        left = leading.downloads.drain(seconds)
        if left:
            log.warning("%d downloads are not finished; the next request for each goes on from there", left)
        housekeeper.close()
        finish_logs()

    below = Below(
        name=name,
        engine=Engine(components),
        upstream=upstream,
        guard=guard,
        authentication=authentication,
        reporter=make_reporter(housekeeper.count, housekeeper.note_access, access_log),
        versions=store.index.versions,
        figures=lambda: _figures(config, store.index, leading.flights),
    )
    hooks = WorkerHooks(access_log.reopen if access_log else _ignore, finish_logs, close)
    parts = build_parts(config, below, config.memory, hooks)
    # Last: if something fails before, no thread runs on beside the worker without a store.
    housekeeper.start()
    verifier.start()
    return parts


def _without_store(
    config: Config, why: str, make_reporter: MakeReporter, authentication: Authentication | None
) -> WorkerParts:
    """Build the parts of a worker that has no store, and passes requests on."""
    name, guard = f"pyproxycache-{secrets.token_hex(4)}", build_guard(config)
    upstream = build_upstream(config, guard, name)
    access_log = build_access_log(config.log, _ignore)
    finish_logs = _finishing(access_log)

    rounds = Rounds((upstream.close_unwanted, HeapTrim().trim), Background("housekeeping", log, _ignore))

    def figures() -> Figures:
        raise StoreError(why)

    def close(_seconds: float) -> None:
        rounds.close()
        finish_logs()

    below = Below(
        name=name,
        engine=StorelessEngine(upstream, why),
        upstream=upstream,
        guard=guard,
        authentication=authentication,
        reporter=make_reporter(_ignore, _ignore, access_log),
        versions=memoryview(bytearray(8)).cast("Q"),  # of no key: memory gives no answer
        figures=figures,
    )
    hooks = WorkerHooks(access_log.reopen if access_log else _ignore, finish_logs, close)
    parts = build_parts(config, below, 0, hooks)
    rounds.start()
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


def _finishing(access_log: AccessLog | None) -> Callable[[], None]:
    """Make the call that has the access log, if there is one, write its waiting lines and end."""
    return partial(access_log.close, _LOG_SECONDS) if access_log else _ignore


def _ignore(*_what: object, **_more: object) -> None:
    """Take a call that has no effect here."""
