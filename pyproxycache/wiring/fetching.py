"""Builds the engine's parts: look-up, serving, downloads, and the connections to origins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyproxycache.configuration.config import Config
from pyproxycache.engine import Components
from pyproxycache.fetching.direct_bodies import DirectBodies
from pyproxycache.fetching.dispatch import Dispatcher
from pyproxycache.fetching.fetcher import Fetcher
from pyproxycache.fetching.flight_answers import FlightAnswers
from pyproxycache.fetching.forwarder import Forwarder
from pyproxycache.fetching.leader import Leader
from pyproxycache.fetching.refreshes.refresher import Refresher
from pyproxycache.fetching.succession import Succession, SuccessionParts
from pyproxycache.fetching.transfers.available_parts import AvailableParts
from pyproxycache.fetching.transfers.documents import Documents
from pyproxycache.fetching.transfers.downloads import Downloads
from pyproxycache.fetching.transfers.inspection import Inspections
from pyproxycache.gates.access import Guard
from pyproxycache.mirrors.repositories import Verify, repository_of
from pyproxycache.net import descriptors
from pyproxycache.net.names import Names
from pyproxycache.options import FetchOptions
from pyproxycache.rules.cache_key import QueryMode, cache_key
from pyproxycache.rules.challenges import demanded
from pyproxycache.rules.host_patterns import HostPatterns
from pyproxycache.rules.redirection import arrived, is_outdated, redirected
from pyproxycache.serving.arriving import ArrivingBodies
from pyproxycache.serving.delivery import Delivery
from pyproxycache.serving.entry_bodies import EntryBodies
from pyproxycache.serving.lookup import Lookup
from pyproxycache.store.flights.flights import LocalFlights
from pyproxycache.store.flights.remote_reader import Terms
from pyproxycache.upstream.authorizations import Authorizations
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.origin_tls import TlsOfHost
from pyproxycache.upstream.pools.pools import Pools
from pyproxycache.upstream.redirects import Redirects
from pyproxycache.url import Url
from pyproxycache.wiring.credentials import parent_authorization, upstream_credentials
from pyproxycache.wiring.packages.indexes import build_indexes
from pyproxycache.wiring.stored import OpenStore


def build_upstream(
    config: Config, guard: Guard, name: str, names: Names, pools: Pools | None = None
) -> Upstream:
    """Build the client for origins; it closes idle connections when descriptors are few."""
    authorization = parent_authorization(config.parent)
    silence = config.policies().silence
    by_host = tls_by_host(config.fetch)
    upstream = Upstream(
        config.fetch,
        config.parent,
        guard.admit,
        name,
        silence,
        authorization,
        by_host,
        names,
        Redirects(redirected, arrived, is_outdated),
        Authorizations(upstream_credentials(config.mirrors), demanded),
        pools,
    )
    descriptors.closers.append(upstream.close_idle)
    return upstream


def tls_by_host(fetch: FetchOptions) -> TlsOfHost:
    """What gives the first item of `fetch.tls` that fits a host."""
    items = [(HostPatterns(item.hosts), item) for item in fetch.tls]
    return lambda host: next((item for hosts, item in items if hosts.fits(host)), None)


AdmitPeer = Callable[[str, str], None]
"""Takes the addresses of a client and of an origin; raises Forbidden if the one may not reach the other."""


@dataclass(frozen=True, slots=True)
class LeadingParts:
    """The parts that lead flights and go on with them, by which bodies come into the store."""

    flights: LocalFlights
    upstream: Upstream
    available: AvailableParts
    downloads: Downloads
    documents: Documents
    inspections: Inspections
    leader: Leader
    dispatcher: Dispatcher
    succession: Succession


def build_leading(
    config: Config,
    store: OpenStore,
    upstream: Upstream,
    admit_peer: AdmitPeer,
    count_received: Callable[[int], None],
) -> LeadingParts:
    """Build the parts that lead flights; a worker that stops has to wait for their `downloads`."""
    fetch, policies = config.fetch, config.policies()
    times = [wait for _host, _path, one in config.all_routes() for wait in (one.timeout, one.silence)]
    longest = max(policies.longest_silence(fetch.silence), *(wait or 0.0 for wait in times), 0.0)
    # What broke off is asked for again, by a pool at two members.
    waits = 3 if any(route.pooling for _host, _path, route in config.all_routes()) else 2
    lease = waits * (longest + fetch.connect_timeout) + fetch.max_pause
    flights = LocalFlights(store.claims, Terms(min(fetch.worker_silence, fetch.silence), lease))
    available = AvailableParts(store.index, store.bodies, flights, fetch.range_ahead)
    documents, inspections = build_inspections(config, store)
    downloads = Downloads(fetch, upstream, store.space, available, inspections, count_received)
    leader = Leader(fetch, upstream, store.space, store.index, inspections, downloads)
    dispatcher = Dispatcher(flights, leader)
    succession = Succession(
        SuccessionParts(
            dispatcher=dispatcher,
            leader=leader,
            alone=DirectBodies(upstream),
            index=store.index,
            bodies=EntryBodies(store.bodies),
            available=available,
            admit_peer=admit_peer,
        )
    )
    return LeadingParts(
        flights, upstream, available, downloads, documents, inspections, leader, dispatcher, succession
    )


def build_inspections(config: Config, store: OpenStore) -> tuple[Documents, Inspections]:
    """Build what looks at bodies: documents of the places that mirrors and presets name are read."""
    repositories, policies = config.repositories(), config.policies()
    keeps_queries = all(rule.policy.query is QueryMode.KEEP for rule in policies.rules)

    def key(url: Url) -> str:
        # Most often all rules need not be looked through, for each of some ten thousand files.
        return cache_key(url, QueryMode.KEEP) if keeps_queries else policies.about(url).key

    def is_binding(url: Url) -> bool | None:
        place = repository_of(url, repositories)
        verify = Verify.STRICT if place is None else place.verify
        return None if verify is Verify.OFF else verify is Verify.STRICT

    documents = Documents(
        store.stated, store.index, store.bodies, lambda url: repository_of(url, repositories), key
    )
    return documents, Inspections(store.stated, documents, is_binding)


def build_components(
    config: Config,
    store: OpenStore,
    leading: LeadingParts,
    admit_peer: AdmitPeer,
    note_access: Callable[[int, float], None],
) -> Components:
    """Build the parts that the engine answers requests with."""
    flights, leader, upstream = leading.flights, leading.leader, leading.upstream
    arriving = ArrivingBodies(leading.succession)
    delivery = Delivery(store.index, EntryBodies(store.bodies), arriving, admit_peer, note_access)
    forwarder = Forwarder(store.index, flights, leader, delivery, upstream)
    lookup = Lookup(store.index)
    answers = FlightAnswers(config.fetch, lookup, delivery)
    return Components(
        upstream=upstream,
        index=store.index,
        lookup=lookup,
        delivery=delivery,
        fetcher=Fetcher(lookup, flights, leading.available, leading.dispatcher, leader, answers, forwarder),
        forwarder=forwarder,
        refresher=Refresher(),
        indexes=build_indexes(config, store),
    )
