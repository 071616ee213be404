"""Builds the front: handlers and their router, access, signer, and the parts of sessions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pyproxycache.configuration.config import Config
from pyproxycache.engine import Engine
from pyproxycache.front.answers.answer_reuse import AnswerReuse
from pyproxycache.front.answers.application import Application
from pyproxycache.front.answers.signer import Signer
from pyproxycache.front.answers.user_check import UserCheck
from pyproxycache.front.handlers import kisscache
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.connect import Connect
from pyproxycache.front.handlers.handler import Handler
from pyproxycache.front.handlers.pages import Pages
from pyproxycache.front.handlers.prefix import Prefix
from pyproxycache.front.handlers.proxy import Proxy
from pyproxycache.front.handlers.purge import Purge
from pyproxycache.front.handlers.reverse import Reverse, shown_below
from pyproxycache.front.handlers.upgrade import Upgrade
from pyproxycache.front.http1.sessions import SessionParts
from pyproxycache.front.loop.turns import Shares, shares_of
from pyproxycache.front.onward.forwarded import Forwarding
from pyproxycache.front.presentation.references import as_it_is
from pyproxycache.front.processes.worker_parts import WorkerHooks, WorkerParts
from pyproxycache.front.requests.target import Local, Wanted, Way
from pyproxycache.front.router import Handlers, Router
from pyproxycache.gates.access import Access, Guard
from pyproxycache.gates.authentication import Authentication
from pyproxycache.report.figures import Figures
from pyproxycache.report.reporter import Reporter
from pyproxycache.routing.resource import Realm
from pyproxycache.storeless_engine import StorelessEngine
from pyproxycache.upstream.client import Upstream


@dataclass(frozen=True, slots=True)
class Below:
    """The parts below the front that its handlers use, with a store or without one.

    `versions` are those of the store's keys, `figures` gives what the status page shows.
    `authentication` is None if nobody has to log in.
    """

    name: str
    engine: Engine | StorelessEngine
    upstream: Upstream
    guard: Guard
    reporter: Reporter
    versions: memoryview
    figures: Callable[[], Figures]
    authentication: Authentication | None = None


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
        authentication=below.authentication,
    )
    application = Application(access, router, signer, below.reporter, _user_check(config, below))
    return WorkerParts(application, sessions, hooks, _shares(config))


def build_router(config: Config, below: Below) -> Router:
    """Build all handlers and the router that chooses among them: a new handler is a line here."""
    origin = config.upstream  # of a reverse proxy; None for a forward proxy
    realm = Realm(config.policies())
    forwarding = Forwarding(config.forwarded, is_reverse=origin is not None)
    cached = CachedAnswers(realm, forwarding, below.engine)
    upgrade = partial(Upgrade, cached, below.upstream, patience=config.connect.idle)
    by_way: dict[Way, Handler[Wanted]]
    upgrades: dict[Way, Handler[Wanted]]
    connect: Connect | None
    if origin is None:
        by_way = {Way.PROXY: Proxy(cached), Way.PREFIX: Prefix(cached)}
        upgrades = {Way.PROXY: upgrade(lambda _url: as_it_is)}
        connect = Connect(config.connect, below.upstream)
    else:
        by_way = {Way.REVERSE: Reverse(cached, origin)}
        upgrades = {Way.REVERSE: upgrade(partial(shown_below, origin))}
        connect = None
    own: list[tuple[re.Pattern[str], Handler[Local]]] = []
    if config.kisscache.enabled:
        own.append((kisscache.PATHS, kisscache.KissCache(config.kisscache, below.figures, cached)))
    handlers = Handlers(
        by_way,
        purge=Purge(realm, Access(config.allow_purge, "allow_purge"), below.engine),
        own=tuple(own),
        elsewhere=Pages(),
        upgrades=upgrades,
        connect=connect,
    )
    return Router(handlers, origin)


def _user_check(config: Config, below: Below) -> UserCheck | None:
    """What lets only users ask; load balancers ask for the health page without credentials."""
    open_paths = {kisscache.HEALTH} if config.kisscache.enabled else set()
    return None if below.authentication is None else UserCheck(below.authentication, open_paths)


def _shares(config: Config) -> Shares:
    limits = config.limits
    return shares_of(config.threads, limits.origin_requests, limits.client_requests)


def _tells_key(config: Config) -> bool:
    """Whether Cache-Status has the key: clients of a reverse proxy need not know what is behind it."""
    told = config.cache_status.key
    return config.upstream is None if told is None else told
