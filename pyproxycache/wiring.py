"""The only place that builds the objects and joins them."""

from __future__ import annotations

import logging
import re
import secrets
import socket
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pyproxycache.background import Background, Count, Rounds, tell_of_lost_threads
from pyproxycache.config import Config
from pyproxycache.engine import Components, Engine
from pyproxycache.errors import StoreError
from pyproxycache.fetching.alone import AloneBodies
from pyproxycache.fetching.dispatch import Dispatcher
from pyproxycache.fetching.fetcher import Fetcher
from pyproxycache.fetching.flight_answers import FlightAnswers
from pyproxycache.fetching.forwarder import Forwarder
from pyproxycache.fetching.leader import Leader
from pyproxycache.fetching.refresher import Refresher
from pyproxycache.fetching.succession import Resources, Succession
from pyproxycache.fetching.transfers.downloads import Downloads
from pyproxycache.fetching.transfers.surroundings import Surroundings
from pyproxycache.front import app
from pyproxycache.front.handlers import kisscache
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.forwarded import Forwarding
from pyproxycache.front.handlers.handler import Handler
from pyproxycache.front.handlers.kisscache import Figures
from pyproxycache.front.handlers.pages import Pages
from pyproxycache.front.handlers.prefix import Prefix
from pyproxycache.front.handlers.proxy import Proxy
from pyproxycache.front.handlers.purge import Purge
from pyproxycache.front.handlers.reverse import Reverse
from pyproxycache.front.handlers.upgrade import Upgrade
from pyproxycache.front.loop.turns import Shares, shares_of
from pyproxycache.front.processes.heap import HeapTrim
from pyproxycache.front.processes.server import Server, Setup
from pyproxycache.front.requests.target import Local, Wanted, Way
from pyproxycache.front.router import Handlers, Router
from pyproxycache.gates.access import Access, Guard
from pyproxycache.net import descriptors
from pyproxycache.options import GuardOptions, LogOptions, ServerOptions, StoreOptions
from pyproxycache.passing import PassingEngine
from pyproxycache.report import counters
from pyproxycache.report.access_log import AccessLog
from pyproxycache.report.formats import FORMATS
from pyproxycache.report.reporter import Reporter
from pyproxycache.report.seldom import Seldom
from pyproxycache.report.sinks import sink
from pyproxycache.routing.resource import Realm
from pyproxycache.serving.arriving import ArrivingBodies
from pyproxycache.serving.delivery import Delivery
from pyproxycache.serving.entry_bodies import EntryBodies
from pyproxycache.serving.lookup import Lookup
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.bodies.stored_bodies import StoredBodies
from pyproxycache.store.bodies.whole_bodies import WholeBodies
from pyproxycache.store.files.footprint import largest_log
from pyproxycache.store.flights.claims import Claims
from pyproxycache.store.flights.flights import LocalFlights
from pyproxycache.store.flights.remote_reader import Terms
from pyproxycache.store.index.database import Database
from pyproxycache.store.index.index import Index
from pyproxycache.store.upkeep.ballast import Ballast
from pyproxycache.store.upkeep.clock_changes import ClockChanges
from pyproxycache.store.upkeep.fsck import Fsck
from pyproxycache.store.upkeep.housekeeping import Housekeeper
from pyproxycache.store.upkeep.recovery import Recovery
from pyproxycache.store.upkeep.space import Space
from pyproxycache.store.upkeep.verifying import Verifier
from pyproxycache.store.upkeep.watch import StoreWatch
from pyproxycache.upstream.client import Upstream

log = logging.getLogger("pyproxycache")

_LOG_SECONDS = 1.0
_LOG_FORMAT = "[%(asctime)s] [%(process)d] [%(levelname)s] %(message)s"
_LOG_TIME = "%Y-%m-%d %H:%M:%S %z"


@dataclass(frozen=True, slots=True)
class OpenStore:
    """The parts of one cache folder."""

    database: Database
    blobs: Blobs
    bodies: StoredBodies
    whole_bodies: WholeBodies
    index: Index
    claims: Claims
    space: Space
    fsck: Fsck
    recovery: Recovery
    clock_changes: ClockChanges


def open_store(options: StoreOptions) -> OpenStore:
    """The cache in its folder, made or migrated where needed; raises StoreError."""
    blobs = Blobs(options.path)
    blobs.create_folders()
    most_log = largest_log(options.max_size, blobs.disk().size)
    database = Database(options.path / "index.sqlite", most_log)
    try:
        is_new = database.migrate()
    except StoreError:
        if database.damage:
            database.set_aside_if_damaged()
            database = Database(database.path, most_log)
        # A disk with no byte left: nothing can be opened there, nor anything forgotten.
        elif not Ballast(options.path).release():
            raise
        is_new = database.migrate()
    if is_new:
        blobs.discard()  # what nobody can name
    index = Index(database)
    claims = Claims(database, blobs)
    whole_bodies = WholeBodies(database, blobs)
    space, fsck = Space(options, index, claims, blobs), Fsck(index, blobs, whole_bodies)
    space.restock()
    recovery = Recovery(space, index, blobs, fsck)
    return OpenStore(
        database,
        blobs,
        StoredBodies(index, blobs, whole_bodies),
        whole_bodies,
        index,
        claims,
        space,
        fsck,
        recovery,
        ClockChanges(database),
    )


def build_server(
    load: Callable[[], Config], adopted: Callable[[Config], None], ready: Callable[[Config], None]
) -> Server:
    """The server; `load` gives the configuration at the start and at each reload, or raises.

    `adopted` is told each that comes into force, `ready` the one that the server begins to accept with.
    """

    def load_setup() -> Setup:
        config = load()
        watch = StoreWatch(config.store.path, partial(mend_store, config.store))
        options = ServerOptions(
            listen=config.listen,
            workers=config.workers,
            threads=config.threads,
            drain=config.fetch.drain,
            log_level=config.log.level,
            limits=config.limits,
        )

        def begin() -> None:
            set_up_logging(config.log.level)
            adopted(config)

        return Setup(
            options,
            begin=begin,
            ready=partial(ready, config),
            build=partial(_build_worker_app, config, watch.ask),
            workers_are_outdated=watch.is_anew,
        )

    return Server(load_setup)


def _build_worker_app(config: Config, ask_for_store: Callable[[], None]) -> app.App:
    tell_of_lost_threads(log)
    return build_app(config, ask_for_store)


def mend_store(options: StoreOptions) -> None:
    """Open the store and mend what an unclean stop may have left; raises StoreError."""
    store = open_store(options)
    try:
        store.clock_changes.look()
        store.recovery.run()
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the store in {options.path} cannot be mended: {error}") from error
    finally:
        store.database.close()


def build_app(config: Config, ask_for_store: Callable[[], None] = lambda: None) -> app.App:
    """A worker's application: all parts are made here, after the fork.

    Without a store, which `ask_for_store` is called for then, requests are passed on.
    """
    try:
        return _build_app(config)
    except StoreError as error:
        log.error("there is no store, and requests are passed on: %s", error)
        ask_for_store()
        return _build_passing_app(config, str(error))


def _build_app(config: Config) -> app.App:
    store = open_store(config.store)
    name = f"pyproxycache-{store.index.instance()}"
    guard = _guard(config)
    upstream = _upstream(config, guard, name)
    chores = (
        store.clock_changes.look,
        upstream.close_unwanted,
        HeapTrim().trim,
        store.database.set_aside_if_damaged,
        store.blobs.remove_discarded,
    )
    housekeeper = Housekeeper(store.index, store.space, chores)
    components, downloads = _build_components(config, store, housekeeper, upstream, guard)
    access_log = _access_log(config.log, housekeeper.count)
    verifier = Verifier(config.store.verify, store.index, store.blobs, store.fsck, housekeeper.count)
    finish_logs = _finishing(access_log)

    def close(seconds: float) -> None:
        verifier.close()
        components.refresher.close()
        left = downloads.drain(seconds)
        if left:
            log.warning("%d downloads are not finished; the next request for each goes on from there", left)
        housekeeper.close()
        finish_logs()

    made = app.App(
        app.AppOptions(name, _tells_key(config), config.memory, _shares(config), config.limits.half_closed),
        Access(config.allow),
        guard,
        _router(config, Engine(components), upstream, lambda: _figures(config, store)),
        Reporter(housekeeper.count, housekeeper.note_access, access_log),
        store.index.versions,
        app.WorkerHooks(access_log.reopen if access_log else _ignore, finish_logs, close),
    )
    # Last: what fails before leaves no thread beside the app without a store.
    housekeeper.start()
    verifier.start()
    return made


def _build_passing_app(config: Config, why: str) -> app.App:
    """The same without a store."""
    name, guard = f"pyproxycache-{secrets.token_hex(4)}", _guard(config)
    upstream = _upstream(config, guard, name)
    access_log = _access_log(config.log, _ignore)
    finish_logs = _finishing(access_log)

    rounds = Rounds((upstream.close_unwanted, HeapTrim().trim), Background("housekeeping", log, _ignore))

    def figures() -> Figures:
        raise StoreError(why)

    def close(_seconds: float) -> None:
        rounds.close()
        finish_logs()

    made = app.App(
        app.AppOptions(name, _tells_key(config), 0, _shares(config), config.limits.half_closed),
        Access(config.allow),
        guard,
        _router(config, PassingEngine(upstream, why), upstream, figures),
        Reporter(_ignore, _ignore, access_log),
        memoryview(bytearray(8)).cast("Q"),  # of no key: nothing is given again
        app.WorkerHooks(access_log.reopen if access_log else _ignore, finish_logs, close),
    )
    rounds.start()
    return made


def _upstream(config: Config, guard: Guard, name: str) -> Upstream:
    """The way to origins, whose idle connections give way where descriptors are few."""
    upstream = Upstream(config.fetch, config.parent, guard.admit, name, config.policies().silence)
    descriptors.closers.append(upstream.close_idle)
    return upstream


def _router(
    config: Config, engine: Engine | PassingEngine, upstream: Upstream, figures: Callable[[], Figures]
) -> Router:
    """All handlers, and what each is for: a new one is a line here."""
    below = config.upstream
    realm = Realm("forward" if below is None else "reverse", config.policies(), below)
    forwarding = Forwarding(config.forwarded, is_reverse=below is not None)
    cached = CachedAnswers(realm, forwarding, engine)
    by_way: dict[Way, Handler[Wanted]] = {Way.PROXY: Proxy(cached), Way.PREFIX: Prefix(cached)}
    own: list[tuple[re.Pattern[str], Handler[Local]]] = []
    if config.kisscache.enabled:
        own.append((kisscache.PATHS, kisscache.KissCache(config.kisscache, figures, cached)))
    handlers = Handlers(
        by_way if below is None else {Way.REVERSE: Reverse(cached, below)},
        purge=Purge(realm, Access(config.allow_purge, "allow_purge"), engine),
        own=tuple(own),
        elsewhere=Pages(),
        upgrade=None if below is None else Upgrade(cached, below, upstream),
    )
    return Router(handlers, below)


def _finishing(access_log: AccessLog | None) -> Callable[[], None]:
    """Has the access log, if there is one, write what waits."""
    return partial(access_log.close, _LOG_SECONDS) if access_log else _ignore


def _ignore(*_what: object, **_more: object) -> None:
    """There is nobody to be told."""


def _shares(config: Config) -> Shares:
    limits = config.limits
    return shares_of(config.threads, limits.origin_requests, limits.client_requests)


def _tells_key(config: Config) -> bool:
    """Whether Cache-Status has the key: clients of a reverse proxy need not know what is behind it."""
    told = config.cache_status.key
    return config.upstream is None if told is None else told


def _access_log(options: LogOptions, count: Count) -> AccessLog | None:
    if options.access is None:
        return None
    return AccessLog(sink(options.access), FORMATS[options.format], query=options.query, count=count)


def _guard(config: Config) -> Guard:
    # Behind a reverse proxy lies only what the operator chose, wherever that is.
    options = GuardOptions(deny=(), own_addresses=False) if config.upstream else config.guard
    return Guard(options, listen_addresses(config.listen))


def _build_components(
    config: Config, store: OpenStore, housekeeper: Housekeeper, upstream: Upstream, guard: Guard
) -> tuple[Components, Downloads]:
    fetch, policies = config.fetch, config.policies()
    longest = policies.longest_silence(fetch.silence)
    lease = 2 * (longest + fetch.connect_timeout) + fetch.max_pause
    flights = LocalFlights(store.claims, Terms(min(fetch.worker_silence, fetch.silence), lease))

    def count_received(count: int) -> None:
        housekeeper.count(counters.received(count))

    surroundings = Surroundings(store.index, store.bodies, flights, fetch.range_ahead)
    downloads = Downloads(fetch, upstream, policies, store.space, surroundings, count_received)
    leader = Leader(fetch, upstream, policies, store.space, store.index, downloads)
    dispatcher = Dispatcher(flights, leader)
    bodies = EntryBodies(store.bodies)
    succession = Succession(
        Resources(
            dispatcher,
            leader,
            AloneBodies(upstream),
            store.index,
            bodies,
            surroundings,
            guard.admit_peer,
        )
    )
    delivery = Delivery(
        store.index, bodies, ArrivingBodies(succession), guard.admit_peer, housekeeper.note_access
    )
    forwarder = Forwarder(store.index, flights, leader, delivery, upstream)
    lookup = Lookup(store.index)
    answers = FlightAnswers(fetch, lookup, delivery)
    fetcher = Fetcher(lookup, flights, surroundings, dispatcher, leader, answers, forwarder)
    components = Components(
        upstream=upstream,
        index=store.index,
        lookup=lookup,
        delivery=delivery,
        fetcher=fetcher,
        forwarder=forwarder,
        refresher=Refresher(),
    )
    return components, downloads


def _figures(config: Config, store: OpenStore) -> Figures:
    usage = store.index.usage()
    return Figures(
        used=usage.bytes,
        limit=config.store.max_size,
        entries=usage.entries,
        downloading=len(store.claims.running()),
        counters=store.index.counters(),
    )


def set_up_logging(level: str) -> None:
    """The package's log to standard error, in the form of the server's own."""
    package = logging.getLogger("pyproxycache")
    package.setLevel(level.upper())
    package.propagate = False
    if not package.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(_LOG_FORMAT, _LOG_TIME))
        handler.addFilter(Seldom())
        package.addHandler(handler)


def listen_addresses(listen: tuple[str, ...]) -> list[tuple[str, int]]:
    """Address and port of each TCP listener; raises OSError where a name stands for none."""
    found = []
    for text in listen:
        if not text.startswith("unix:"):
            host, _, port = text.rpartition(":")
            # A name is bound as IPv4, an address stands for itself.
            address = host.strip("[]") if host.startswith("[") else socket.gethostbyname(host)
            found.append((address, int(port)))
    return found
