"""Follows redirects, for requests whose clients expect what these lead to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyproxycache.errors import BadRequest, UpstreamMalformed
from pyproxycache.messages import Head, Request
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.url import Url

_MOST = 10


@dataclass(frozen=True, slots=True)
class Redirects:
    """Follows redirects by rules, which come from above.

    `further` gives the request for what an answer redirects to, None if it is no redirect; it raises
    BadRequest. `arrived` gives the head that stands for the last one, at this URL, with what those that
    redirected say of it. `is_outdated` tells whether the last one may be an error only because an address
    has ended, so that the first address has to be asked again.
    """

    further: Callable[[Request, Head], Request | None]
    arrived: Callable[[Sequence[Head], Head, Url], Head]
    is_outdated: Callable[[Sequence[Head], Head], bool]

    def followed(self, request: Request, send: Callable[[Request], Exchange]) -> Exchange:
        """The exchange to which redirects of the request lead, sent by `send`; raises what that does.

        Raises UpstreamMalformed if they are too many, or lead to what cannot be fetched.
        """
        passed, exchange, url = self._followed(request, send)
        if self.is_outdated(passed, exchange.head):
            exchange.close()
            passed, exchange, url = self._followed(request, send)
        exchange.head = self.arrived(passed, exchange.head, url)
        return exchange

    def _followed(
        self, request: Request, send: Callable[[Request], Exchange]
    ) -> tuple[Sequence[Head], Exchange, Url]:
        """The heads that redirected, in order, the exchange of the last one, and its URL."""
        passed: list[Head] = []
        exchange = send(request)
        while (further := self._further(request, exchange)) is not None:
            passed.append(exchange.head)
            if len(passed) > _MOST:
                raise UpstreamMalformed(f"more than {_MOST} redirects, the last to {further.url.origin}")
            request = further
            exchange = send(request)
        return passed, exchange, request.url

    def _further(self, request: Request, exchange: Exchange) -> Request | None:
        """The request for what the answer redirects to, after closing it; None if it is no redirect."""
        try:
            further = self.further(request, exchange.head)
        except BadRequest as error:
            exchange.close()
            text = f"{request.url.origin} redirects to what cannot be fetched: {error}"
            raise UpstreamMalformed(text) from None
        if further is not None:
            exchange.close()
        return further
