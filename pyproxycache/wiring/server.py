"""Builds the server: what its master process runs, and how that makes workers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from pyproxycache import clock
from pyproxycache.background import Background, Rounds, tell_of_lost_threads
from pyproxycache.configuration.config import Config
from pyproxycache.front.processes.gunicorn_server import Server, Setup
from pyproxycache.front.processes.worker_parts import WorkerParts
from pyproxycache.gates.htpasswd import UsersFile
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.options import ServerOptions
from pyproxycache.report.metrics.board import Board
from pyproxycache.store.upkeep.disk_watch import DiskWatch
from pyproxycache.store.upkeep.store_watch import StoreWatch
from pyproxycache.tls.leaf_tls import LeafTls
from pyproxycache.tls.server_tls import ServerTls
from pyproxycache.wiring.admin.operator import OperatorSetup, prepare_operator
from pyproxycache.wiring.events import check_events
from pyproxycache.wiring.interception import build_leaf_tls, interception_warnings
from pyproxycache.wiring.listening import build_tls
from pyproxycache.wiring.logs import set_up_logging
from pyproxycache.wiring.routes.rate_limits import build_counters
from pyproxycache.wiring.stored import mend_store
from pyproxycache.wiring.users import look_for_all, users_file
from pyproxycache.wiring.worker import build_worker

log = logging.getLogger("pyproxycache")

_LOOK_SECONDS = 1.0


def build_server(
    load: Callable[[], Config], adopted: Callable[[Config], None], ready: Callable[[Config], None]
) -> Server:
    """Build the server; `load` gives the configuration at the start and at each reload, or raises.

    `adopted` is called with each configuration that comes into force, and again when its cache folder was
    made anew; `ready` with the one that is in force when the server begins to accept connections.
    """

    in_force: list[SharedCounters | None] = [None]
    board: Board | None = None

    def load_setup() -> Setup:
        nonlocal board
        config = load()
        operator = prepare_operator(config, board)
        board = board if operator is None else operator.board
        tls = build_tls(config)
        users = users_file(config.proxy_auth)
        leaf_tls = build_leaf_tls(config)
        counters = build_counters(config, in_force[0])
        check_events(config.events)
        watch = StoreWatch(config.store.path, partial(mend_store, config.store))
        disk = DiskWatch(config.store.path, config.store.reserve)
        options = ServerOptions(
            listen=config.all_addresses,
            redirected=config.transparent.addresses,
            workers=config.workers,
            threads=config.threads,
            drain=config.fetch.drain,
            log_level=config.log.level,
            limits=config.limits,
        )

        def begin() -> None:
            set_up_logging(config.log.level)
            in_force[0] = counters
            if leaf_tls is not None:
                for warning in interception_warnings(config.intercept, leaf_tls.authority, clock.wall()):
                    log.warning("%s", warning)
            adopted(config)

        def workers_are_outdated() -> bool:
            if users is not None:
                look_for_all(users)
            disk.look(clock.steady())
            is_anew = watch.is_anew()
            if is_anew:
                adopted(config)  # what it had written went with the folder
            return is_anew

        return Setup(
            options,
            begin=begin,
            ready=partial(ready, config),
            build=partial(_build_worker, config, watch.ask, tls, users, leaf_tls, counters, operator),
            workers_are_outdated=workers_are_outdated,
            board=board,
        )

    return Server(load_setup)


def _build_worker(
    config: Config,
    ask_for_store: Callable[[], None],
    tls: Mapping[str, ServerTls],
    users: UsersFile | None,
    leaf_tls: LeafTls | None,
    counters: SharedCounters | None,
    operator: OperatorSetup | None,
) -> WorkerParts:
    """Build a worker's parts; its `tls` is the master's, with the files as they are now."""
    tell_of_lost_threads(log)
    for one in tls.values():
        one.renew()
    parts = build_worker(
        config, ask_for_store, users=users, leaf_tls=leaf_tls, counters=counters, operator=operator
    )
    if tls:
        looks = [one.look for one in tls.values()]
        Rounds(looks, Background("certificates", log, _uncounted), "certificates", _LOOK_SECONDS).start()
    return replace(parts, tls=tls, redirected=config.transparent.schemes)


def _uncounted(_counts: object) -> None:
    """Count no error of this work."""
