"""How a client's requests come in, which decides what their targets mean."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace

from pyproxycache.url import Authority, Url

_MOST_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Ingress:
    """How the requests of one connection come in, and so what their targets mean.

    `scheme` is that of the URLs by which the client reaches the cache, "" if what is spoken on a
    redirected connection is not known. `origin` is the URL of the origin that the cache stands in for,
    with the target "/", as on an intercepted connection; None: the client knows that it asks a cache,
    as a proxy or by the cache's own address. `user` is who has logged in here for the whole connection,
    "" if nobody, and `password_hash` what the password was compared with. `version` is that of HTTP if
    all requests have the same one, as in HTTP/2. `destination` is the IP address and port that the
    client has connected to, if a firewall has redirected the connection: then the client takes the
    cache for what is there. `mark` tells it from others: "" for plain HTTP.
    """

    scheme: str = "http"
    origin: Url | None = None
    user: str = ""
    password_hash: bytes = field(default=b"", repr=False)
    version: tuple[int, int] | None = None
    destination: Authority | None = None
    mark: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plain = b"" if self.scheme == "http" else self.scheme.encode()
        mark = plain if self.origin is None else b"for " + self.origin.origin.encode()
        if self.version is not None:
            mark += b" in HTTP/%d" % self.version[0]
        if self.user:
            mark += b" by " + self.user.encode()
        if self.destination is not None:
            mark += b" at " + str(self.destination).encode()
        object.__setattr__(self, "mark", mark)

    @property
    def is_instead(self) -> bool:
        """Whether the client takes the cache for an origin, and gets no page of the cache's own."""
        return self.origin is not None or self.destination is not None

    @property
    def is_opaque(self) -> bool:
        """Whether what the client says on its redirected connection is passed on unread."""
        return not self.scheme


@functools.lru_cache(_MOST_REMEMBERED)
def over_http2(ingress: Ingress) -> Ingress:
    """The same ingress, where HTTP/2 is spoken; mostly the same object for the same one."""
    return replace(ingress, version=(2, 0))


PLAIN = Ingress()
SECURED = Ingress("https")


@functools.lru_cache(_MOST_REMEMBERED)
def standing_in_for(
    origin: Url, user: str = "", password_hash: bytes = b"", destination: Authority | None = None
) -> Ingress:
    """The ingress of connections on which the cache stands in for this origin; mostly the same object."""
    return Ingress(origin.scheme, origin, user, password_hash, destination=destination)


@functools.lru_cache(_MOST_REMEMBERED)
def redirected_from(destination: Authority, scheme: str = "http") -> Ingress:
    """The ingress of connections that were redirected; mostly the same object.

    The `scheme` is "" for those that are passed on unread.
    """
    return Ingress(scheme, destination=destination)
