"""Builds the front: handlers and their router, access, signer, and the parts of sessions."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from socket import socket

from pyproxycache.configuration.config import Config
from pyproxycache.engine import Engine
from pyproxycache.facts import Facts
from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.answers.application import Application
from pyproxycache.front.answers.signer import Signer
from pyproxycache.front.answers.user_check import UserCheck
from pyproxycache.front.gateway.route_refresher import RouteRefresher
from pyproxycache.front.gateway.unrouted import Unrouted
from pyproxycache.front.gating.gated_answers import GatedAnswers
from pyproxycache.front.handlers import ca_files, kisscache
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.connect import Connect
from pyproxycache.front.handlers.excluding import Excluding
from pyproxycache.front.handlers.handler import Handler
from pyproxycache.front.handlers.pages import Pages
from pyproxycache.front.handlers.prefix import Prefix
from pyproxycache.front.handlers.proxy import Proxy
from pyproxycache.front.handlers.purge import Purge
from pyproxycache.front.handlers.redirected import Redirected
from pyproxycache.front.handlers.reverse import Reverse, shown_below
from pyproxycache.front.handlers.upgrade import Upgrade
from pyproxycache.front.http1.sessions import SessionParts
from pyproxycache.front.interception.interception import Interception
from pyproxycache.front.loop.poller import everyone
from pyproxycache.front.loop.turns import Shares, shares_of
from pyproxycache.front.onward.forwarded import Forwarding
from pyproxycache.front.presentation.references import as_it_is
from pyproxycache.front.processes.worker_parts import WorkerHooks, WorkerParts
from pyproxycache.front.requests.target import Local, Wanted, Way
from pyproxycache.front.router import Handlers, Router
from pyproxycache.gates import allowances
from pyproxycache.gates.access import Access, Guard
from pyproxycache.gates.accounts import AccountGate, account_ids
from pyproxycache.gates.allowances import AllowanceFile
from pyproxycache.gates.authentication import Authentication
from pyproxycache.gates.limits.shared_counters import SharedCounters
from pyproxycache.net.names import Names
from pyproxycache.passing_engine import PassingEngine
from pyproxycache.report.figures import Figures
from pyproxycache.report.metrics.metrics import Metrics
from pyproxycache.report.reporter import Reporter
from pyproxycache.routing.resource import Realm
from pyproxycache.upstream.certificate_request import requests_certificate
from pyproxycache.upstream.client import Upstream
from pyproxycache.url import Authority
from pyproxycache.wiring.gateway import build_gateway
from pyproxycache.wiring.listening import listen_addresses
from pyproxycache.wiring.packages.gating import GateParts, build_places
from pyproxycache.wiring.packages.mirrors import build_mirrors, build_registries

_NOT_SHARED = "the host that the request names does not have the address that its connection was made to"


@dataclass(frozen=True, slots=True)
class Gates:
    """What stands before the handlers besides access: None where nobody has to log in or is intercepted."""

    authentication: Authentication | None = None
    interception: Interception | None = None
    counters: SharedCounters | None = None


@dataclass(frozen=True, slots=True)
class Below:
    """The parts below the front that its handlers use, with a store or without one.

    `versions` are those of the store's keys, `figures` gives what the status page shows. `metrics` take
    what parts count for the operator, None if there is none.
    """

    name: str
    engine: Engine | PassingEngine
    upstream: Upstream
    guard: Guard
    reporter: Reporter
    versions: memoryview
    figures: Callable[[], Figures]
    gates: Gates = Gates()
    names: Names = field(default_factory=Names)
    refresher: RouteRefresher | None = None
    metrics: Metrics | None = None


def build_parts(config: Config, below: Below, memory: int, hooks: WorkerHooks) -> WorkerParts:
    """Build the parts that a worker runs; `memory`: how many bytes of answers are kept in memory."""
    access, signer = Access(config.allow), Signer(below.name, _tells_key(config))
    router = build_router(config, below)
    sessions = SessionParts(
        admits=access.admits,
        reuse=AnswerReuse(signer, below.reporter, below.guard.is_inward),
        reporter=below.reporter,
        versions=below.versions,
        memory=memory,
        half_closed=config.limits.half_closed,
        authentication=below.gates.authentication,
    )
    application = Application(access, router, signer, below.reporter, _user_check(config, below))
    return WorkerParts(application, sessions, hooks, _shares(config), welcomes=build_welcome(config))


def build_welcome(config: Config) -> Callable[[socket], bool]:
    """Build what tells whether an accepted connection may ask; raises ConfigError for unknown accounts."""
    if config.allow_accounts is None:
        return everyone
    return AccountGate(account_ids(config.allow_accounts)).admits


def build_router(config: Config, below: Below) -> Router:
    """Build all handlers and the router that chooses among them: a new handler is a line here."""
    interception = below.gates.interception
    origin = config.upstream  # of a reverse proxy; None for a forward proxy
    realm = Realm(config.policies())
    forwarding = Forwarding(config.forwarded, is_reverse=origin is not None)
    plain = CachedAnswers(realm, forwarding, below.engine)
    parts = GateParts(AllowanceFile(config.store.path / allowances.FILE))
    places = build_places(config, parts, plain)
    cached = GatedAnswers(realm, forwarding, below.engine, places)
    upgrade = partial(Upgrade, cached, below.upstream, patience=config.connect.idle)
    by_way: dict[Way, Handler[Wanted]]
    upgrades: dict[Way, Handler[Wanted]]
    connect: Connect | None
    if origin is None:
        unchanged = upgrade(lambda _url: as_it_is)
        proxy = Proxy(cached)
        instead = _instead(config, below, realm, forwarding, proxy, parts.allowed)
        by_way = {Way.PROXY: proxy, Way.INSTEAD: instead, Way.PREFIX: Prefix(cached)}
        upgrades = {Way.PROXY: unchanged, Way.INSTEAD: _excluding(unchanged, below)}
        connect = Connect(config.connect, below.upstream, interception)
    else:
        by_way = {Way.REVERSE: Reverse(cached, origin)}
        upgrades = {Way.REVERSE: upgrade(partial(shown_below, origin))}
        connect = None
    own: list[tuple[re.Pattern[str], Handler[Local]]] = []
    elsewhere: Handler[Local] = Pages(has_authority=interception is not None, mirrors=tuple(config.mirrors))
    gateway = build_gateway(
        config, below.engine, below.upstream, below.gates.counters, below.refresher, below.metrics
    )
    if gateway is not None:
        elsewhere, connect = Unrouted(), None
    elif config.kisscache.enabled:
        own.append((kisscache.PATHS, kisscache.KissCache(config.kisscache, below.figures, cached)))
    if interception is not None:
        own.append((ca_files.PATHS, ca_files.CaFiles(interception.tls.authority)))
    if config.mirrors:
        mirrors = build_mirrors(config.mirrors, config.public_url, plain, parts, places)
        registries = build_registries(config.mirrors, mirrors)
        if registries is not None:
            own.append((registries.paths, registries))
        own.append((mirrors.paths, mirrors))
    handlers = Handlers(
        by_way,
        purge=Purge(realm, Access(config.allow_purge, "allow_purge"), below.engine),
        own=tuple(own),
        elsewhere=elsewhere,
        upgrades=upgrades,
        connect=connect,
        gateway=gateway,
    )
    return Router(handlers, origin)


def _instead(
    config: Config,
    below: Below,
    realm: Realm,
    forwarding: Forwarding,
    proxy: Proxy,
    allowed: AllowanceFile,
) -> Handler[Wanted]:
    """What answers in place of origins: redirected requests only as far as their hosts are verified.

    What others say of releases is then none of what `proxy` goes by.
    """
    passing = PassingEngine(below.upstream, _NOT_SHARED, "host-unverified")
    places = build_places(config, GateParts(allowed), CachedAnswers(realm, forwarding, passing))
    ports = frozenset(port for _host, port in listen_addresses(config.transparent.addresses))
    return Redirected(
        _excluding(proxy, below),
        _excluding(Proxy(GatedAnswers(realm, forwarding, passing, places)), below),
        below.guard,
        below.names,
        ports,
        has_parent=config.parent is not None,
    )


def _excluding(handler: Handler[Wanted], below: Below) -> Handler[Wanted]:
    """The handler, from whose answers interception learns which origins to leave alone."""
    interception = below.gates.interception
    if interception is None:
        return handler

    def requests(end: Authority, host: str, client: str) -> bool:
        with closing(below.upstream.tunnel(end, "1.1", client, Facts())) as far:
            return requests_certificate(far.stream, host)

    return Excluding(handler, interception.rules.exclusions, requests)


def _user_check(config: Config, below: Below) -> UserCheck | None:
    """What lets only users ask; what clients need before they have credentials is open."""
    open_paths = {kisscache.HEALTH} if config.kisscache.enabled else set()
    if below.gates.interception is not None:
        open_paths |= ca_files.OPEN_PATHS
    return None if below.gates.authentication is None else UserCheck(below.gates.authentication, open_paths)


def _shares(config: Config) -> Shares:
    limits = config.limits
    return shares_of(config.threads, limits.origin_requests, limits.client_requests)


def _tells_key(config: Config) -> bool:
    """Whether Cache-Status has the key: clients of a reverse proxy need not know what is behind it."""
    told = config.cache_status.key
    return config.is_forward if told is None else told
