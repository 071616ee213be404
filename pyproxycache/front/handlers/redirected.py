"""Requests on connections that a firewall has redirected to the cache."""

from __future__ import annotations

from dataclasses import replace

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.errors import Forbidden, LoopDetected
from pyproxycache.facts import Facts
from pyproxycache.front.handlers.handler import Answered, Handler
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Wanted, misdirected_to_proxy
from pyproxycache.gates.access import Guard
from pyproxycache.net.ip_addresses import client_of
from pyproxycache.net.names import Names
from pyproxycache.steps import Asks, Steps
from pyproxycache.url import Authority, Url

_LOOK_UP_SECONDS = 3.0
"""How long a look-up may take; a client gets its answer without one, too, if not a shared one."""


class Redirected:
    """Has requests answered out of what all share where the host's address is the connection's.

    A client may name any host on a redirected connection. What comes from the address that it was made to
    is that host's only if the host has the address (`names`), now or lately. Then `shared` answers, else
    `alone`, which neither takes nor leaves what others get. A connection made directly to one of the
    `ports` for redirected ones is refused. With a parent (`has_parent`), what is shared is asked for by
    host.
    """

    def __init__(
        self,
        shared: Handler[Wanted],
        alone: Handler[Wanted],
        guard: Guard,
        names: Names,
        ports: frozenset[int],
        *,
        has_parent: bool,
    ) -> None:
        self._shared = shared
        self._alone = alone
        self._guard = guard
        self._names = names
        self._ports = ports
        self._has_parent = has_parent

    def answer(self, received: RawRequest, target: Wanted, facts: Facts) -> Steps[Answered]:
        """The answer from the origin or the store; raises ProxyError."""
        destination = received.ingress.destination
        if destination is None:  # the client has named the host itself, and the cache connects to that
            return (yield from self._shared.answer(received, target, facts))
        self._admit(received.client, destination)
        until = yield from self._has_until(target.url, destination, received.client)
        if until is not None:
            if self._has_parent:
                received = replace(received, ingress=replace(received.ingress, destination=None))
            return _for_now(until, (yield from self._shared.answer(received, target, facts)))
        if not received.target.startswith(("/", "*")):
            raise misdirected_to_proxy(target.url, destination)
        return (yield from self._alone.answer(received, target, facts))

    def _admit(self, client: str, destination: Authority) -> None:
        """Raise Forbidden or LoopDetected if the client must not get to the destination."""
        try:
            self._guard.admit(client, destination.host, destination.port)
        except LoopDetected:
            if destination.port not in self._ports:
                raise
            raise Forbidden(
                f"port {destination.port} is for connections that a firewall redirects, and this one was "
                "made to it directly: who knows of the proxy asks it at its other port, as 3128"
            ) from None

    def _has_until(self, url: Url, destination: Authority, client: str) -> Steps[float | None]:
        """Until when (monotonic) the URL's host counts as having the destination's address; None: not."""
        if url.port != destination.port:
            return None
        until = self._names.has_lately(url.host, destination.host)
        if until is None:
            yield Asks(str(destination))
            with Blocking():
                deadline = clock.steady() + _LOOK_UP_SECONDS
                until = self._names.find_out(url.host, destination.host, deadline, client_of(client))
        return until


def _for_now(until: float, answered: Answered) -> Answered:
    """The answer, which memory may give again until then (monotonic) at most."""
    terms = answered.response.reuse_terms
    if terms is None:
        return answered
    last = clock.wall() + until - clock.steady()
    terms = replace(terms, until=min(terms.until, last))
    return replace(answered, response=replace(answered.response, reuse_terms=terms))
