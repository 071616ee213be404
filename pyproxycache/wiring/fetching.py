"""Builds what the engine works with: look-up, serving, downloads, and the connections to origins."""

from __future__ import annotations

from pyproxycache.config import Config
from pyproxycache.engine import Components
from pyproxycache.fetching.direct_bodies import DirectBodies
from pyproxycache.fetching.dispatch import Dispatcher
from pyproxycache.fetching.fetcher import Fetcher
from pyproxycache.fetching.flight_answers import FlightAnswers
from pyproxycache.fetching.forwarder import Forwarder
from pyproxycache.fetching.leader import Leader
from pyproxycache.fetching.refresher import Refresher
from pyproxycache.fetching.succession import Succession, SuccessionParts
from pyproxycache.fetching.transfers.available_parts import AvailableParts
from pyproxycache.fetching.transfers.downloads import Downloads
from pyproxycache.gates.access import Guard
from pyproxycache.net import descriptors
from pyproxycache.report import counters
from pyproxycache.serving.arriving import ArrivingBodies
from pyproxycache.serving.delivery import Delivery
from pyproxycache.serving.entry_bodies import EntryBodies
from pyproxycache.serving.lookup import Lookup
from pyproxycache.store.flights.flights import LocalFlights
from pyproxycache.store.flights.remote_reader import Terms
from pyproxycache.store.upkeep.housekeeping import Housekeeper
from pyproxycache.upstream.client import Upstream
from pyproxycache.wiring.stored import OpenStore


def build_upstream(config: Config, guard: Guard, name: str) -> Upstream:
    """Build the client for origins; it closes idle connections when descriptors are few."""
    upstream = Upstream(config.fetch, config.parent, guard.admit, name, config.policies().silence)
    descriptors.closers.append(upstream.close_idle)
    return upstream


def build_components(
    config: Config, store: OpenStore, housekeeper: Housekeeper, upstream: Upstream, guard: Guard
) -> tuple[Components, Downloads]:
    """Build the engine's parts, and the downloads, which a stop has to wait for."""
    fetch, policies = config.fetch, config.policies()
    longest = policies.longest_silence(fetch.silence)
    lease = 2 * (longest + fetch.connect_timeout) + fetch.max_pause
    flights = LocalFlights(store.claims, Terms(min(fetch.worker_silence, fetch.silence), lease))

    def count_received(count: int) -> None:
        housekeeper.count(counters.received(count))

    available = AvailableParts(store.index, store.bodies, flights, fetch.range_ahead)
    downloads = Downloads(fetch, upstream, policies, store.space, available, count_received)
    leader = Leader(fetch, upstream, policies, store.space, store.index, downloads)
    dispatcher = Dispatcher(flights, leader)
    bodies = EntryBodies(store.bodies)
    succession = Succession(
        SuccessionParts(
            dispatcher,
            leader,
            DirectBodies(upstream),
            store.index,
            bodies,
            available,
            guard.admit_peer,
        )
    )
    delivery = Delivery(
        store.index, bodies, ArrivingBodies(succession), guard.admit_peer, housekeeper.note_access
    )
    forwarder = Forwarder(store.index, flights, leader, delivery, upstream)
    lookup = Lookup(store.index)
    answers = FlightAnswers(fetch, lookup, delivery)
    fetcher = Fetcher(lookup, flights, available, dispatcher, leader, answers, forwarder)
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
