"""The engine in use while no store can be opened: each request is passed on, and nothing is stored."""

from __future__ import annotations

from pyproxycache.engine import failed
from pyproxycache.errors import ProxyError, StoreError
from pyproxycache.facts import Facts, ForwardedAlone, NotStored, OriginReplied, ServedAs
from pyproxycache.fetching.forwarder import relayed
from pyproxycache.messages import Request, Response
from pyproxycache.outcome import Forward, Result
from pyproxycache.routing.resource import Resource
from pyproxycache.rules.cache_control import request_directives
from pyproxycache.rules.grammar import end_to_end
from pyproxycache.serving import responses
from pyproxycache.steps import Asks, Steps
from pyproxycache.upstream.client import Upstream


class StorelessEngine:
    """Takes the Engine's place without a store, and passes requests on; `why` tells why there is none."""

    def __init__(self, upstream: Upstream, why: str) -> None:
        self._upstream = upstream
        self._why = why

    def handle(self, resource: Resource, request: Request, facts: Facts) -> Steps[Response]:
        """The answer to the request; a ProxyError becomes an answer, too."""
        try:
            self._upstream.refuse_loop(request)
            if request_directives(request.headers).only_if_cached:
                facts.note(ServedAs(Result.REFUSED))
                response = responses.from_text(504, "only-if-cached was asked for, and nothing is stored")
            else:
                yield Asks(resource.url.authority)
                response = self._passed(request, facts)
        except ProxyError as error:
            response = failed(error, facts)
        return response

    def _passed(self, request: Request, facts: Facts) -> Response:
        facts.note(ForwardedAlone(Forward.BYPASS), NotStored("store-failed"))
        outgoing = request.with_headers(end_to_end(request.headers))
        exchange = self._upstream.send(outgoing, facts)
        facts.note(OriginReplied(exchange.head.status))
        return relayed(exchange, request)

    def purge(self, _resource: Resource) -> bool:
        """Raise StoreError, as entries in the folder cannot be removed without opening the store."""
        raise StoreError(self._why)
