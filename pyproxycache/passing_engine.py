"""The engine where nothing may be stored or shared: each request is passed on for one client alone."""

from __future__ import annotations

from pyproxycache.engine import failed
from pyproxycache.errors import ProxyError, StoreError
from pyproxycache.facts import Facts, ForwardedAlone, NotStored, OriginReplied, ServedAs
from pyproxycache.fetching.forwarder import relayed
from pyproxycache.messages import Request
from pyproxycache.outcome import Forward, Result
from pyproxycache.response import Response
from pyproxycache.routing.resource import Resource
from pyproxycache.rules.cache_control import request_directives
from pyproxycache.rules.grammar import end_to_end
from pyproxycache.serving import responses
from pyproxycache.steps import Asks, Steps
from pyproxycache.upstream.client import Upstream


class PassingEngine:
    """Takes the Engine's place where no store can be opened, or a request may not share what is stored.

    `why` tells that to people; `detail` is the short reason in Cache-Status.
    """

    def __init__(self, upstream: Upstream, why: str, detail: str) -> None:
        self._upstream = upstream
        self._why = why
        self._detail = detail

    def handle(self, _resource: Resource, request: Request, facts: Facts) -> Steps[Response]:
        """The answer to the request; a ProxyError becomes an answer, too."""
        try:
            self._upstream.refuse_loop(request)
            if request_directives(request.headers).only_if_cached:
                facts.note(ServedAs(Result.REFUSED))
                response = responses.from_text(504, "only-if-cached was asked for, and nothing is stored")
            else:
                yield Asks(request.far_end)
                response = self._passed(request, facts)
        except ProxyError as error:
            response = failed(error, facts)
        return response

    def _passed(self, request: Request, facts: Facts) -> Response:
        facts.note(ForwardedAlone(Forward.BYPASS), NotStored(self._detail))
        outgoing = request.with_headers(end_to_end(request.headers))
        exchange = self._upstream.send(outgoing, facts)
        facts.note(OriginReplied(exchange.head.status))
        return relayed(exchange, request)

    def purge(self, _resource: Resource) -> bool:
        """Raise StoreError, as entries in the folder cannot be removed without opening the store."""
        raise StoreError(self._why)
