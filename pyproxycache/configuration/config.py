"""The whole configuration: its keys, and what components get out of it."""

from __future__ import annotations

from msgspec import Struct

from pyproxycache.configuration.operator_rules import rule_of
from pyproxycache.mirror_options import MirrorName, MirrorOptions, UseOptions
from pyproxycache.mirrors.ecosystems import ECOSYSTEMS
from pyproxycache.mirrors.ecosystems.go import SUMDB
from pyproxycache.mirrors.path_rules import rules_of
from pyproxycache.mirrors.repositories import Repository, Verify, base_of, in_order, repository_at
from pyproxycache.options import (
    LOOPBACK,
    Account,
    AdminOptions,
    CacheStatusOptions,
    ConnectOptions,
    Count,
    FetchOptions,
    FieldName,
    ForwardedOptions,
    GuardOptions,
    InterceptOptions,
    KissCacheOptions,
    LimitOptions,
    ListenerOptions,
    LogOptions,
    Network,
    OriginUrl,
    ParentOptions,
    ProxyAuthOptions,
    RuleOptions,
    Size,
    StoreOptions,
    TransparentOptions,
)
from pyproxycache.route_options.events import EventsOptions
from pyproxycache.route_options.route import HostName, HostOptions, RouteOptions, RoutePath
from pyproxycache.rules.host_patterns import HostPatterns
from pyproxycache.rules.policy import Policies


class Config(Struct, frozen=True, kw_only=True):
    """The whole configuration; each component gets only its own options out of it."""

    listen: tuple[ListenerOptions, ...] = (ListenerOptions(address="127.0.0.1:3128"),)
    allow: tuple[Network, ...] = LOOPBACK
    allow_purge: tuple[Network, ...] = LOOPBACK
    allow_accounts: tuple[Account, ...] | None = None
    upstream: OriginUrl | None = None
    transparent: TransparentOptions = TransparentOptions()
    proxy_auth: ProxyAuthOptions | None = None
    parent: ParentOptions | None = None
    workers: Count = 2
    threads: Count = 512
    memory: Size = 256 << 20
    store: StoreOptions
    fetch: FetchOptions = FetchOptions()
    connect: ConnectOptions = ConnectOptions()
    intercept: InterceptOptions = InterceptOptions()
    guard: GuardOptions = GuardOptions()
    limits: LimitOptions = LimitOptions()
    kisscache: KissCacheOptions = KissCacheOptions()
    forwarded: ForwardedOptions = ForwardedOptions()
    log: LogOptions = LogOptions()
    admin: AdminOptions = AdminOptions()
    cache_status: CacheStatusOptions = CacheStatusOptions()
    targets: tuple[FieldName, ...] = ("cdn-cache-control",)
    rules: tuple[RuleOptions, ...] = ()
    mirrors: dict[MirrorName, MirrorOptions] = {}
    use: tuple[UseOptions, ...] = ()
    public_url: OriginUrl | None = None
    routes: dict[RoutePath, RouteOptions] = {}
    hosts: dict[HostName, HostOptions] = {}
    events: EventsOptions | None = None
    defaults: bool = True

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses at which clients ask the cache, with TLS and without."""
        return tuple(listener.address for listener in self.listen)

    @property
    def all_addresses(self) -> tuple[str, ...]:
        """All addresses that are listened on, also those for redirected connections and the operator."""
        return (*self.addresses, *self.transparent.addresses, *self.admin.listen)

    @property
    def is_forward(self) -> bool:
        """Whether clients name the origins that they want; else the operator has chosen them."""
        return self.upstream is None and not self.all_routes()

    def all_routes(self) -> tuple[tuple[str, str, RouteOptions], ...]:
        """The routes, each with its host ("": any) and path; none if this is no gateway."""
        by_host = {"": self.routes} | {host: one.routes for host, one in self.hosts.items()}
        return tuple((host, path, one) for host, routes in by_host.items() for path, one in routes.items())

    def policies(self) -> Policies:
        """The rules in the form that rules.decide uses."""
        rules = tuple(rule_of(options) for options in self.rules)
        for repository in self.repositories():
            rules += rules_of(repository)
        return Policies(rules, self.targets, self.defaults, self.fetch.offline)

    def repositories(self) -> tuple[Repository, ...]:
        """Where packages are, as mirrors and presets say, in the order that repository_of() takes."""
        mirrored = [
            repository_at(ECOSYSTEMS[mirror.ecosystem], upstream, Verify(mirror.verify))
            for mirror in self.mirrors.values()
            for upstream in mirror.urls
        ]
        databases = [
            repository_at(SUMDB, url) for mirror in self.mirrors.values() for url in mirror.sumdb.values()
        ]
        used = [
            Repository(ECOSYSTEMS[one.ecosystem], base_of(one.path), hosts=HostPatterns(one.hosts))
            for one in self.use
            if one.hosts
        ]
        return in_order((*mirrored, *databases, *used))
