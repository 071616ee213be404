"""A request as it was read from a client, and what is asked of the engine for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyproxycache.cancellation import Cancellation
from pyproxycache.connection_login import ConnectionLogin
from pyproxycache.errors import NotImplementedHere
from pyproxycache.front.requests.request_body import Input, content
from pyproxycache.front.requests.target import Wanted
from pyproxycache.front.requests.well_formed import check_fields
from pyproxycache.messages import Head, Headers, Request
from pyproxycache.rules.grammar import split_list
from pyproxycache.rules.userinfo import basic_credentials

Present = Callable[[Head], Head]
"""Makes the head that a client is shown out of the one that the cache has."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as it was read from a client at the address `client`.

    `interim` takes heads that go before the answer's, if the version has such. What is done for the request
    ends by `cancellation` if the client leaves; `login` is what its connection has at an origin.
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

    def check_fields(self, *, names_cache: bool) -> None:
        """Raises BadRequest where they are not fit for a request of this version; see well_formed."""
        check_fields(self.headers, self.version, names_cache=names_cache)

    def field(self, name: str) -> str:
        """The last line of the field, "" where there is none."""
        lines = self.headers.lines(name)
        return lines[-1] if lines else ""

    @property
    def connection_options(self) -> frozenset[str]:
        """The options in all lines of Connection, in lower case (RFC 9110 section 7.6.1)."""
        return frozenset(map(str.lower, split_list(self.headers.get("connection") or "")))

    def request_for(self, wanted: Wanted, present: Present) -> Request:
        """The request for what is wanted; `present` shows the client each head of the answer."""
        headers = self.headers
        coding = headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            # What is coded twice would go on with one coding taken off and none announced.
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
            login=self.login,
        )

    def _shown(self, present: Present) -> Callable[[Head], None] | None:
        forward = self.interim
        if forward is None or self.version < (1, 1):
            return None
        return lambda head: forward(present(head))
