"""Notes origins that are not to be intercepted, as their answers show."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache import clock
from pyproxycache.errors import ClientCertificateWanted, ProxyError
from pyproxycache.facts import Facts
from pyproxycache.front.handlers.handler import Answered, Handler
from pyproxycache.front.interception.exclusions import Exclusions
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import Wanted
from pyproxycache.serving.responses import Failure
from pyproxycache.steps import Steps
from pyproxycache.url import Authority

RequestsCertificate = Callable[[Authority, str, str], bool]
"""Finds out by a handshake whether an origin asks its clients for a certificate; raises ProxyError.

Takes where to connect to, the origin's host, and the IP address of the client for whom it is asked.
"""

# What origins say in HTTP to clients that have not shown the certificate that they were asked for.
_UNCERTIFIED = {400, 403}


class Excluding:
    """Has another handler answer, and notes origins that want a client's certificate.

    Only tunnels lead to those.
    """

    def __init__(
        self, handler: Handler[Wanted], exclusions: Exclusions, requests_certificate: RequestsCertificate
    ) -> None:
        self._handler = handler
        self._exclusions = exclusions
        self._requests_certificate = requests_certificate

    def answer(self, received: RawRequest, target: Wanted, facts: Facts) -> Steps[Answered]:
        """The handler's answer for the URL; raises ProxyError."""
        try:
            answered = yield from self._handler.answer(received, target, facts)
        except ClientCertificateWanted:
            self._exclude(target)
            raise
        response = answered.response
        if isinstance(response, Failure):
            if isinstance(response.error, ClientCertificateWanted):
                self._exclude(target)
        elif response.head.status in _UNCERTIFIED and target.url.scheme == "https":
            self._look_for_request(received, target)
        return answered

    def _look_for_request(self, received: RawRequest, target: Wanted) -> None:
        """Find out whether the origin has refused for want of a certificate, which costs a handshake."""
        host = target.url.host
        if not self._exclusions.is_to_be_examined(host, clock.steady()):
            return
        end = received.ingress.destination or Authority(host, target.url.port)
        try:
            if self._requests_certificate(end, host, received.client):
                self._exclude(target)
        except ProxyError:
            pass  # as the origin cannot be reached any more

    def _exclude(self, target: Wanted) -> None:
        self._exclusions.wants_certificate(target.url.host, clock.steady())
