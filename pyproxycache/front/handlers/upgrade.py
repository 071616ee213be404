"""Upgrade: connections that switch to another protocol, passed through (RFC 9110 section 7.8)."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache.facts import Attempted, Facts, ForwardedAlone, OriginReplied, ServedAs
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.handlers.handler import Answered
from pyproxycache.front.loop.relay import Tunnel
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.messages import Head, Request
from pyproxycache.outcome import Forward, Result
from pyproxycache.response import Response
from pyproxycache.rules.grammar import end_to_end, split_list
from pyproxycache.steps import Asks, Steps
from pyproxycache.upstream.client import Upstream
from pyproxycache.upstream.far_end import Switched
from pyproxycache.url import Url

# Protocols that are not passed through: another version of HTTP would carry requests past the cache.
_HTTP = {"http", "h2", "h2c"}


class Upgrade:
    """Passes requests to switch to another protocol through to the origin.

    `shown` gives, for a URL, what makes the heads of its answers for clients. A switched connection may be
    silent for `patience` seconds.
    """

    def __init__(
        self,
        cached: CachedAnswers,
        upstream: Upstream,
        shown: Callable[[Url], Present],
        patience: float,
    ) -> None:
        self._cached = cached
        self._upstream = upstream
        self._shown = shown
        self._patience = patience

    def answer(self, received: RawRequest, target: Wanted, facts: Facts) -> Steps[Answered]:
        """The origin's answer to the request to switch; a 101 has a Tunnel as its body.

        Where releases are not given to everyone, it is answered as any other request.
        """
        present = self._shown(target.url)
        if not self._cached.may_switch(target.url):  # Upgrade may be ignored (RFC 9110 section 7.8)
            return (yield from self._cached.answer(received, target, present, facts))
        request = self._cached.request_for(received, target, present)
        yield Asks(request.far_end)
        response = self._passed(request, wanted_protocols(received), facts)
        return Answered(response, is_of_cache=False, present=present)

    def _passed(self, request: Request, protocols: str, facts: Facts) -> Response:
        """The origin's answer: a 101 with a Tunnel for its body, or another response.

        Raises ProxyError.
        """
        facts.note(Attempted(str(request.url)), ForwardedAlone(Forward.BYPASS))
        outgoing = request.with_headers(end_to_end(request.headers))
        answered = self._upstream.upgrade(outgoing, protocols, facts)
        head = answered.head
        facts.note(OriginReplied(head.status))
        headers = end_to_end(head.headers)
        if not isinstance(answered, Switched):
            return Response(Head(head.status, head.reason, headers), answered, answered.length)
        facts.note(ServedAs(Result.TUNNELLED))
        headers = headers.with_field("Upgrade", head.headers.get("upgrade") or "")
        tunnel = Tunnel(answered, self._patience, facts)
        return Response(Head(head.status, head.reason, headers), tunnel, None)


def wanted_protocols(received: RawRequest) -> str:
    """The protocols in Upgrade that can be passed through; "" if there are none, and Upgrade is ignored.

    It is ignored in all requests but GET: others may change something, which the cache has to see.
    """
    if received.method != "GET" or received.version < (1, 1):
        return ""
    asked = received.headers.get("upgrade")
    if asked is None or "upgrade" not in received.connection_options:
        return ""
    protocols = split_list(asked)
    return ", ".join(p for p in protocols if p.partition("/")[0].strip().lower() not in _HTTP)
