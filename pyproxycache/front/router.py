"""The router, which chooses one handler for each request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pyproxycache.errors import NotImplementedHere
from pyproxycache.facts import Came, Facts, Located
from pyproxycache.front.gateway.gateway import Gateway
from pyproxycache.front.handlers.handler import Answered, Handler
from pyproxycache.front.handlers.upgrade import wanted_protocols
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import (
    Local,
    Wanted,
    Way,
    host_in,
    local_of,
    locate,
    locate_instead,
    locate_redirected,
    tunnel_end,
)
from pyproxycache.steps import Steps
from pyproxycache.url import Authority, Url

_TUNNEL, _OWN = "tunnel", "own"


@dataclass(frozen=True, slots=True)
class Handlers:
    """The handlers that the router chooses from.

    `by_way` has those for URLs, by the form in which the client names them, and `upgrades` those for
    requests to switch to another protocol. `purge` is for the method PURGE, `connect` for CONNECT, which is
    refused if that is None. With a `gateway`, nothing but its routes and paths of the cache is asked for.
    `own` has those for paths of the cache itself: the first whose pattern matches
    the whole path is chosen, and `elsewhere` if none matches.
    """

    by_way: Mapping[Way, Handler[Wanted]]
    purge: Handler[Wanted]
    own: tuple[tuple[re.Pattern[str], Handler[Local]], ...]
    elsewhere: Handler[Local]
    upgrades: Mapping[Way, Handler[Wanted]]
    connect: Handler[Authority] | None = None
    gateway: Gateway | None = None


class Router:
    """Gives each request to one handler, by its target and its method.

    `upstream` is the URL that a reverse proxy stands for; None: this is a forward proxy.
    """

    def __init__(self, handlers: Handlers, upstream: Url | None) -> None:
        self._handlers = handlers
        self._upstream = upstream

    def answer(self, received: RawRequest, facts: Facts) -> Steps[Answered]:
        """The answer of the request's handler; raises ProxyError."""
        if received.ingress.is_opaque:
            end = tunnel_end(received.target)
            facts.note(Came(_TUNNEL))
            return (yield from self._connect().answer(received, end, facts))
        if received.ingress.is_instead:
            return (yield from self._instead(received, facts))
        received.check_fields(names_cache=self._upstream is None and received.target.startswith("/"))
        if received.method == "CONNECT":
            facts.note(Came(_TUNNEL))
            return (yield from self._connect().answer(received, tunnel_end(received.target), facts))
        if self._handlers.gateway is not None:
            return (yield from self._routed(self._handlers.gateway, received, facts))
        target = locate(received.target, self._upstream, received.method)
        if isinstance(target, Local):
            facts.note(Came(_OWN))
            return (yield from self._own(target).answer(received, target, facts))
        facts.note(Came(target.way.value), Located(target.url))
        return (yield from self._for_url(received, target).answer(received, target, facts))

    def _routed(self, gateway: Gateway, received: RawRequest, facts: Facts) -> Steps[Answered]:
        """The answer of the request's route, or of the cache itself where no route has its path."""
        local = local_of(received.target)
        if host := host_in(received.target):
            # The URL is what is asked for, whatever Host says (RFC 9112 section 3.2.2).
            received = replace(received, headers=received.headers.with_field("Host", host))
        route = gateway.route_of(received, local)
        if route is None:
            facts.note(Came(_OWN))
            return (yield from self._own(local).answer(received, local, facts))
        return (yield from gateway.answer(received, local, route, facts))

    def _instead(self, received: RawRequest, facts: Facts) -> Steps[Answered]:
        """The answer to a request for the origin that the cache stands in for: never one of its own."""
        received.check_fields(names_cache=False)
        if received.method == "CONNECT":
            raise NotImplementedHere("CONNECT: an origin is asked on this connection, and not a proxy")
        wanted = _wanted_instead(received)
        facts.note(Came(wanted.way.value), Located(wanted.url))
        return (yield from self._for_url(received, wanted).answer(received, wanted, facts))

    def _for_url(self, received: RawRequest, wanted: Wanted) -> Handler[Wanted]:
        handlers = self._handlers
        if received.method == "PURGE" and wanted.way is not Way.INSTEAD:
            return handlers.purge
        upgrade = handlers.upgrades.get(wanted.way)
        if upgrade is not None and wanted_protocols(received):
            return upgrade
        return handlers.by_way[wanted.way]

    def _connect(self) -> Handler[Authority]:
        if self._handlers.connect is None:
            raise NotImplementedHere("CONNECT: this is no forward proxy, and opens no tunnels")
        return self._handlers.connect

    def _own(self, local: Local) -> Handler[Local]:
        fitting = (handler for path, handler in self._handlers.own if path.fullmatch(local.path))
        return next(fitting, self._handlers.elsewhere)


def _wanted_instead(received: RawRequest) -> Wanted:
    """The URL that a request wants of the origin that the cache stands in for; raises ProxyError."""
    target, host, ingress = received.target, received.field("host"), received.ingress
    if ingress.origin is not None:
        return locate_instead(target, host, ingress.origin)
    assert ingress.destination is not None, "else the cache stands in for nobody"
    return locate_redirected(target, host, ingress.destination)
