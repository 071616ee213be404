"""Which connections are intercepted: decided by host, and by what the client says first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from pyproxycache.front.interception.exclusions import Exclusions
from pyproxycache.options import InterceptOptions
from pyproxycache.rules.host_patterns import HostPatterns
from pyproxycache.tls.client_hello import ClientHello
from pyproxycache.tls.subject_names import subject_name
from pyproxycache.url import Authority, Url

# Origins are asked by HTTP/1.1. Who speaks HTTP/2 alone needs that of the origin, too, as gRPC does.
_HTTP = {"http/1.1", "http/1.0"}
# A method that is known, and what may follow: other protocols begin with words, too.
_REQUEST = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|PROPFIND|QUERY|REPORT) [/*h]")
_BEGINS_REQUEST = 11


@dataclass(frozen=True, slots=True)
class Intercept:
    """The cache is to answer in this origin's place."""

    origin: Url


@dataclass(frozen=True, slots=True)
class PassOn:
    """The connection is to be a tunnel, for this reason (a word for logs)."""

    why: str


Decision = Intercept | PassOn


class InterceptionRules:
    """Decides which connections are intercepted; times are monotonic seconds.

    Used by any thread: all that changes is in `exclusions`.
    """

    def __init__(self, options: InterceptOptions, exclusions: Exclusions) -> None:
        self._hosts = HostPatterns(options.hosts)
        self._except = HostPatterns(options.exceptions)
        self._any = bool(options.hosts)
        self.exclusions = exclusions

    def before(self, end: Authority, client: str, now: float) -> PassOn | None:
        """The decision by the client's CONNECT alone; None if it depends on what the client sends."""
        if not self._any:
            return PassOn("")
        # The host of an address may be named by what the client sends.
        return self._by_host(end.host, client, now, is_last=not _is_address(end.host))

    def by_hello(self, hello: ClientHello, end: Authority, client: str, now: float) -> Decision:
        """The decision by the client's first message in TLS.

        The name that the client verifies is the server's in that message, where there is one.
        """
        if hello.protocols and _HTTP.isdisjoint(hello.protocols):
            return PassOn("other-protocol")
        name = end.host.removesuffix(".")
        if hello.server_name and not _is_address(hello.server_name):
            name = hello.server_name
        try:
            subject_name(name)
        except ValueError:
            return PassOn("invalid-name")
        passed = self._by_host(name, client, now, is_last=True)
        return passed or Intercept(Url("https", name, end.port, "/"))

    def by_text(self, data: bytes, end: Authority, client: str, now: float) -> Decision | None:
        """The decision by first bytes that are no TLS; None if more have to come."""
        if len(data) < _BEGINS_REQUEST and b" " not in data[:-1] and data.isupper():
            return None
        if _REQUEST.match(data) is None:
            return PassOn("other-protocol")
        name = end.host.removesuffix(".")
        return self._by_host(name, client, now, is_last=True) or Intercept(Url("http", name, end.port, "/"))

    def _by_host(self, host: str, client: str, now: float, *, is_last: bool) -> PassOn | None:
        if self._except.fits(host):
            return PassOn("excepted")
        if is_last and not self._hosts.fits(host):
            return PassOn("not-listed")
        why = self.exclusions.why(client, host, now)
        return PassOn(why) if why else None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
