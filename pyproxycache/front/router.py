"""The router, which chooses one handler for each request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pyproxycache.errors import NotImplementedHere
from pyproxycache.facts import Facts, Located
from pyproxycache.front.handlers.handler import Answered, Handler
from pyproxycache.front.handlers.upgrade import wanted_protocols
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Local, Wanted, Way, locate, tunnel_end
from pyproxycache.messages import Authority, Url
from pyproxycache.steps import Steps


@dataclass(frozen=True, slots=True)
class Handlers:
    """The handlers that the router chooses from.

    `by_way` has those for URLs, by the form in which the client names them, and `upgrades` those for
    requests to switch to another protocol. `purge` is for the method PURGE, `connect` for CONNECT, which is
    refused if that is None. `own` has those for paths of the cache itself: the first whose pattern matches
    the whole path is chosen, and `elsewhere` if none matches.
    """

    by_way: Mapping[Way, Handler[Wanted]]
    purge: Handler[Wanted]
    own: tuple[tuple[re.Pattern[str], Handler[Local]], ...]
    elsewhere: Handler[Local]
    upgrades: Mapping[Way, Handler[Wanted]]
    connect: Handler[Authority] | None = None


class Router:
    """Gives each request to one handler, by its target and its method.

    `upstream` is the URL that a reverse proxy stands for; None: this is a forward proxy.
    """

    def __init__(self, handlers: Handlers, upstream: Url | None) -> None:
        self._handlers = handlers
        self._upstream = upstream

    def answer(self, received: RawRequest, facts: Facts) -> Steps[Answered]:
        """The answer of the request's handler; raises ProxyError."""
        received.check_fields(names_cache=self._upstream is None and received.target.startswith("/"))
        if received.method == "CONNECT":
            return (yield from self._connect().answer(received, tunnel_end(received.target), facts))
        target = locate(received.target, self._upstream, received.method)
        if isinstance(target, Local):
            return (yield from self._own(target).answer(received, target, facts))
        facts.note(Located(target.url))
        return (yield from self._for_url(received, target).answer(received, target, facts))

    def _for_url(self, received: RawRequest, wanted: Wanted) -> Handler[Wanted]:
        handlers = self._handlers
        if received.method == "PURGE":
            return handlers.purge
        upgrade = handlers.upgrades.get(wanted.way)
        if upgrade is not None and wanted_protocols(received):
            return upgrade
        return handlers.by_way[wanted.way]

    def _connect(self) -> Handler[Authority]:
        if self._handlers.connect is None:
            raise NotImplementedHere("CONNECT: this is a reverse proxy, which opens no tunnels")
        return self._handlers.connect

    def _own(self, local: Local) -> Handler[Local]:
        fitting = (handler for path, handler in self._handlers.own if path.fullmatch(local.path))
        return next(fitting, self._handlers.elsewhere)
