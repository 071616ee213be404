"""Builds the server: what its master process runs, and how that makes workers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from pyproxycache.background import Background, Rounds, tell_of_lost_threads
from pyproxycache.configuration.config import Config
from pyproxycache.front.processes.gunicorn_server import Server, Setup
from pyproxycache.front.processes.worker_parts import WorkerParts
from pyproxycache.gates.htpasswd import UsersFile
from pyproxycache.options import ServerOptions
from pyproxycache.store.upkeep.watch import StoreWatch
from pyproxycache.tls.server_tls import ServerTls
from pyproxycache.wiring.listening import build_tls
from pyproxycache.wiring.reporting import set_up_logging
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

    def load_setup() -> Setup:
        config = load()
        tls = build_tls(config)
        users = users_file(config.proxy_auth)
        watch = StoreWatch(config.store.path, partial(mend_store, config.store))
        options = ServerOptions(
            listen=config.addresses,
            workers=config.workers,
            threads=config.threads,
            drain=config.fetch.drain,
            log_level=config.log.level,
            limits=config.limits,
        )

        def begin() -> None:
            set_up_logging(config.log.level)
            adopted(config)

        def workers_are_outdated() -> bool:
            if users is not None:
                look_for_all(users)
            is_anew = watch.is_anew()
            if is_anew:
                adopted(config)  # what it had written went with the folder
            return is_anew

        return Setup(
            options,
            begin=begin,
            ready=partial(ready, config),
            build=partial(_build_worker, config, watch.ask, tls, users),
            workers_are_outdated=workers_are_outdated,
        )

    return Server(load_setup)


def _build_worker(
    config: Config,
    ask_for_store: Callable[[], None],
    tls: Mapping[str, ServerTls],
    users: UsersFile | None,
) -> WorkerParts:
    """Build a worker's parts; its `tls` is the master's, with the files as they are now."""
    tell_of_lost_threads(log)
    for one in tls.values():
        one.renew()
    parts = build_worker(config, ask_for_store, users=users)
    if tls:
        looks = [one.look for one in tls.values()]
        Rounds(looks, Background("certificates", log, _uncounted), "certificates", _LOOK_SECONDS).start()
    return replace(parts, tls=tls)


def _uncounted(_counts: object) -> None:
    """Count no error of this work."""
