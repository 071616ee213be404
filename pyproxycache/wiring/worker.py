"""Builds a worker: with its store, or passing requests on while there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pyproxycache.configuration.config import Config
from pyproxycache.errors import StoreError
from pyproxycache.front.processes.worker_parts import WorkerParts
from pyproxycache.gates.htpasswd import UsersFile
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.report.reporter import Reporter
from pyproxycache.tls.leaf_tls import LeafTls
from pyproxycache.wiring.admin.operator import OperatorSetup, build_operator
from pyproxycache.wiring.front import Gates
from pyproxycache.wiring.interception import build_interception, build_leaf_tls
from pyproxycache.wiring.routes.rate_limits import build_counters
from pyproxycache.wiring.users import build_authentication, with_changes
from pyproxycache.wiring.workers.shared import MakeReporter, WorkerTerms
from pyproxycache.wiring.workers.with_store import build_with_store
from pyproxycache.wiring.workers.without_store import build_without_store

log = logging.getLogger("pyproxycache")


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
        gates = Gates(None, interception, counters)
        return _built(WorkerTerms(config, make_reporter, gates, watched), ask_for_store)
    file = users or UsersFile(config.proxy_auth.users)
    authentication = build_authentication(config.proxy_auth, file)
    gates = Gates(authentication, interception, counters)
    parts = _built(WorkerTerms(config, make_reporter, gates, watched), ask_for_store)
    return with_changes(parts, file, authentication)


def _built(terms: WorkerTerms, ask_for_store: Callable[[], None]) -> WorkerParts:
    try:
        return build_with_store(terms)
    except StoreError as error:
        log.error("there is no store, and requests are passed on: %s", error)
        ask_for_store()
        return build_without_store(terms, str(error))
