"""A request as it was read from a client, and the Request that it becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyproxycache.cancellation import Cancellation
from pyproxycache.connection_login import ConnectionLogin
from pyproxycache.errors import NotImplementedHere
from pyproxycache.front.requests.ingress import PLAIN, Ingress
from pyproxycache.front.requests.request_body import Input, content
from pyproxycache.front.requests.target import Wanted
from pyproxycache.front.requests.well_formed import check_fields
from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.rules.grammar import split_list
from pyproxycache.rules.userinfo import basic_credentials

Served = Callable[[Request, Entry], None]
"""Takes a request as it was answered, and the entry that the answer is made of."""

Present = Callable[[Head], Head]
"""Makes the head for the client out of the cache's own."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as it was read from a client, whose IP address is `client`.

    `interim` sends interim heads, if the version has such. `cancellation` breaks off what is done for the
    request when the client leaves. `login` is its connection's login at an origin. `ingress` is how
    it came in. `served` is told what it is answered with.
    """

    method: str
    target: str
    version: tuple[int, int]
    headers: Headers
    client: str
    body: Input
    interim: Callable[[Head], None] | None = None
    cancellation: Cancellation | None = None
    login: ConnectionLogin | None = None
    ingress: Ingress = PLAIN
    served: Served | None = None

    def check_fields(self, *, names_cache: bool) -> None:
        """Raise BadRequest if the fields are not valid in a request of this version; see well_formed."""
        check_fields(self.headers, self.version, names_cache=names_cache)

    def field(self, name: str) -> str:
        """The value of the field's last line, "" if it is absent."""
        lines = self.headers.lines(name)
        return lines[-1] if lines else ""

    @property
    def connection_options(self) -> frozenset[str]:
        """The options in all lines of Connection, in lower case (RFC 9110 section 7.6.1)."""
        return frozenset(map(str.lower, split_list(self.headers.get("connection") or "")))

    def request_for(self, wanted: Wanted, present: Present) -> Request:
        """The Request for the wanted URL; `present` makes the interim heads for the client."""
        headers = self.headers
        coding = headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            # The parser removes chunked alone: the other coding would be forwarded unannounced.
            raise NotImplementedHere(f"Transfer-Encoding {coding}: only chunked is understood")
        if wanted.userinfo and "authorization" not in headers:
            headers = headers.with_field("Authorization", basic_credentials(wanted.userinfo))
        return Request(
            method=self.method,
            url=wanted.url,
            headers=headers,
            client=self.client,
            version=self.version,
            body=content(self.method, headers, self.body),
            interim=self._shown(present),
            cancellation=self.cancellation,
            served=self.served,
            login=self.login,
            destination=self.ingress.destination,
        )

    def _shown(self, present: Present) -> Callable[[Head], None] | None:
        forward = self.interim
        if forward is None or self.version < (1, 1):
            return None
        return lambda head: forward(present(head))
