"""Where a cache is reached: from what it listens on, or from what a user wrote."""

from __future__ import annotations

from pyproxycache.cli.common import PROBLEMS, fail
from pyproxycache.notation import NOTATIONS

_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


def usable_address(listen: tuple[str, ...]) -> str:
    """An address that a client on this machine can connect to."""
    for address in listen:
        if not address.startswith("unix:"):
            host, _, port = address.rpartition(":")
            return f"{_ANY.get(host, host)}:{port}"
    return fail("the cache listens on Unix sockets only", PROBLEMS)


def cache_url(text: str) -> str:
    """The cache's URL, without a path, from `host:port`, `:port` on this machine, or an http URL.

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
