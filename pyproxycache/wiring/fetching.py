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
from pyproxycache.fetching.refresher import Refresher
from pyproxycache.fetching.succession import Succession, SuccessionParts
from pyproxycache.fetching.transfers.available_parts import AvailableParts
from pyproxycache.fetching.transfers.downloads import Downloads
from pyproxycache.gates.access import Guard
from pyproxycache.net import descriptors
from pyproxycache.options import FetchOptions
from pyproxycache.serving.arriving import ArrivingBodies
from pyproxycache.serving.delivery import Delivery
from pyproxycache.serving.entry_bodies import EntryBodies
from pyproxycache.serving.lookup import Lookup
from pyproxycache.store.flights.flights import LocalFlights
from pyproxycache.store.flights.remote_reader import Terms
from pyproxycache.upstream.client import Upstream
from pyproxycache.wiring.credentials import parent_authorization
from pyproxycache.wiring.stored import OpenStore


def build_upstream(config: Config, guard: Guard, name: str) -> Upstream:
    """Build the client for origins; it closes idle connections when descriptors are few."""
    authorization = parent_authorization(config.parent)
    silence = config.policies().silence
    upstream = Upstream(config.fetch, config.parent, guard.admit, name, silence, authorization)
    descriptors.closers.append(upstream.close_idle)
    return upstream


AdmitPeer = Callable[[str, str], None]
"""Takes the addresses of a client and of an origin; raises Forbidden if the one may not reach the other."""


@dataclass(frozen=True, slots=True)
class LeadingParts:
    """The parts that lead flights and go on with them, by which bodies come into the store."""

    flights: LocalFlights
    upstream: Upstream
    available: AvailableParts
    downloads: Downloads
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
    longest = policies.longest_silence(fetch.silence)
    lease = 2 * (longest + fetch.connect_timeout) + fetch.max_pause
    flights = LocalFlights(store.claims, Terms(min(fetch.worker_silence, fetch.silence), lease))
    available = AvailableParts(store.index, store.bodies, flights, fetch.range_ahead)
    downloads = Downloads(fetch, upstream, store.space, available, count_received)
    leader = Leader(fetch, upstream, store.space, store.index, downloads)
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
    return LeadingParts(flights, upstream, available, downloads, leader, dispatcher, succession)


def build_components(
    fetch: FetchOptions,
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
    answers = FlightAnswers(fetch, lookup, delivery)
    return Components(
        upstream=upstream,
        index=store.index,
        lookup=lookup,
        delivery=delivery,
        fetcher=Fetcher(lookup, flights, leading.available, leading.dispatcher, leader, answers, forwarder),
        forwarder=forwarder,
        refresher=Refresher(),
    )
