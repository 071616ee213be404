"""A route whose answers are refreshed: how its requests are made again, by its gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

from pyproxycache.cancellation import Cancellation
from pyproxycache.facts import Facts
from pyproxycache.front.around.surroundings import NOTHING, Surroundings
from pyproxycache.front.gateway.admission import RouteGate, Visitor, let_in
from pyproxycache.front.handlers.cached import CachedAnswers
from pyproxycache.front.requests.raw_request import Present, RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.messages import Request
from pyproxycache.response import Response
from pyproxycache.routing.resource import Realm, Resource
from pyproxycache.rules.refreshing import RefreshRule
from pyproxycache.steps import finished
from pyproxycache.url import Url


@dataclass(frozen=True, slots=True)
class RefreshedRoute:
    """What repeats the requests of a route.

    `unsent` are the fields of clients that do not go on; `gates`, `around` and `shown` are as in
    RouteParts. `stands_in`: what is stored stays where the upstream fails, to stand in for it.
    """

    rule: RefreshRule
    realm: Realm
    cached: CachedAnswers
    shown: Callable[[Url], Present]
    gates: Sequence[RouteGate]
    around: Surroundings = NOTHING
    unsent: tuple[str, ...] = ()
    stands_in: bool = False

    def resource(self, url: Url) -> Resource:
        """What the URL names on this route."""
        return self.realm.resource(url)

    def repeated(
        self, received: RawRequest, wanted: Wanted, content: bytes, cancellation: Cancellation
    ) -> Request | None:
        """The request as it goes on when it is made again; None if a gate refuses it by now.

        Raises ProxyError.
        """
        again = replace(received, body=BytesIO(content), cancellation=cancellation)
        visit = self.around.enter(again, Facts())
        again = visit.received
        visitor = Visitor(again, again.headers, {}, wanted.url, is_repeated=True)
        admitted = finished(let_in(self.gates, visitor, Facts()))
        if isinstance(admitted, Response):
            admitted.body.close()
            return None
        headers = admitted.visitor.headers.without(*self.unsent)
        wanted = replace(wanted, url=admitted.visitor.url)
        sent = replace(again, headers=visit.onward(headers))
        return self.cached.request_for(sent, wanted, self.shown(wanted.url))
