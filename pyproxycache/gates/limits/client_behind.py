"""Which client sent a request that came by way of trusted proxies."""

from __future__ import annotations

import re
from collections.abc import Callable

from pyproxycache.messages import Headers
from pyproxycache.net.ip_addresses import shown_address
from pyproxycache.rules.grammar import split_list

ClientBehind = Callable[[str, Headers], str]
"""Gives the client's IP address, for the peer's and the fields that came from there."""

# With a port, as some proxies write it.
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+")


def peer_itself(peer: str, _headers: Headers) -> str:
    """The address of the connection, where no proxy is trusted."""
    return peer


def client_behind(is_trusted: Callable[[str], bool]) -> ClientBehind:
    """What finds clients behind proxies that are trusted: these name who asked them, in X-Forwarded-For.

    That is the last address there that is no trusted proxy's; what stands before it, the client may have
    written itself.
    """

    def find(peer: str, headers: Headers) -> str:
        client = peer
        names = split_list(", ".join(headers.lines("x-forwarded-for")))
        while names and is_trusted(client):
            found = _address(names.pop())
            if found is None:
                break
            client = found
        return client

    return find


def _address(text: str) -> str | None:
    match = _WITH_PORT.fullmatch(text)
    try:
        return str(shown_address((match[1] or match[2]) if match else text))
    except ValueError:
        return None
