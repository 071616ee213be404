"""The address at which a cache is reached, and how it is asked for a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from pyproxycache.configuration.notation import NOTATIONS
from pyproxycache.errors import BadRequest
from pyproxycache.options import ListenerOptions
from pyproxycache.rules.urls import parse_url
from pyproxycache.rules.userinfo import split_userinfo
from pyproxycache.url import Url

_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
_BY_PREFIX = re.compile(r"/https?(:|%3A)(/|%2F)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CacheAddress:
    """A cache, by its URL without a path; `upstream` is the origin if it is a reverse proxy.

    `fingerprint` is that of the certificate which it shows, as sha256 in hex; None if any is trusted that
    an authority has signed for its name.
    """

    cache: str
    upstream: Url | None = None
    fingerprint: str | None = None

    def address_of(self, url: str) -> str:
        """The URL at the cache that stands for this URL.

        Raises BadRequest if it is not a URL, or not one of the upstream.
        """
        parsed = parse_url(split_userinfo(url)[0])
        if self.upstream is None:
            # Encoded as a whole, so that no library on the way rewrites it.
            return f"{self.cache}/{quote(url, safe='')}"
        below = f"{self.upstream.origin}{self.upstream.path.rstrip('/')}"
        path = f"{parsed.origin}{parsed.target}".removeprefix(below)
        if not path.startswith("/"):
            raise BadRequest(f"it is not below {below}, which the cache at {self.cache} stands before")
        return f"{self.cache}{path}"

    def leads_to_a_url(self, address: str) -> bool:
        """Whether the address, the target of a redirect, is already a URL at the cache."""
        path = address.removeprefix(self.cache)
        if self.upstream is not None:
            return path.startswith("/")
        return _BY_PREFIX.match(path) is not None


def usable_listener(listen: tuple[ListenerOptions, ...]) -> ListenerOptions:
    """The one to use from this machine: by TCP if there is one, and without TLS, which needs trust."""
    return min(listen, key=lambda one: (one.address.startswith("unix:"), one.tls is not None))


def usable_address(listen: tuple[str, ...]) -> str | None:
    """The first address that a client on this machine can connect to by TCP; None for Unix sockets only."""
    for address in listen:
        if not address.startswith("unix:"):
            host, _, port = address.rpartition(":")
            return f"{_ANY.get(host, host)}:{port}"
    return None


def cache_url(text: str) -> str:
    """The cache's URL without a path, from `host:port`, `:port` (this machine), or an http URL.

    Raises ValueError, which says what is accepted.
    """
    if "://" in text:
        url = NOTATIONS["proxy url"].read(text)
        return f"{url.scheme}://{url.authority}"
    if text.startswith(":"):
        text = f"127.0.0.1{text}"
    if text.startswith("unix:"):
        raise ValueError(f"{text!r} is a Unix socket: name a host and a port, as in 127.0.0.1:3128")
    return f"http://{usable_address((NOTATIONS['address'].read(text),))}"
