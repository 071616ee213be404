"""What is spoken on each of the sockets that gunicorn has bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from socket import socket
from typing import Any

from gunicorn import util

from pyproxycache.errors import ConfigError
from pyproxycache.front.loop.listener import Listener
from pyproxycache.tls.server_tls import ServerTls


def listeners_of(
    bound: Iterable[Any],
    addresses: Iterable[str],
    tls: Mapping[str, ServerTls],
    redirected: Mapping[str, str],
) -> list[Listener]:
    """The listeners; what is spoken is found by the address a socket was bound to, not by its position.

    `bound` are gunicorn's sockets, `addresses` those in the configuration, `tls` and `redirected` what is
    spoken at some of them. Raises ConfigError for a socket of no address if there are such: its clients
    must not get plain HTTP, or the cache's own pages, by mistake.
    """
    texts = {place_of(util.parse_address(text)): text for text in addresses}
    found = []
    for one in bound:
        text = texts.get(place_of(one.cfg_addr))
        if text is None and (tls or redirected):
            raise ConfigError(
                f"the socket on {one.cfg_addr} is of no address in listen: {', '.join(texts.values())}"
            )
        known = text or ""
        found.append(Listener(one.sock, tls.get(known), redirected.get(known, "")))
    return found


def sockets_apart(bound: Sequence[Any], addresses: Iterable[str]) -> tuple[list[Any], list[socket]]:
    """Gunicorn's sockets for clients, and the plain ones of those bound to the operator's addresses."""
    places = {place_of(util.parse_address(text)) for text in addresses}
    is_admins = [place_of(one.cfg_addr) in places for one in bound]
    clients = [one for one, is_its in zip(bound, is_admins, strict=True) if not is_its]
    return clients, [one.sock for one, is_its in zip(bound, is_admins, strict=True) if is_its]


def place_of(address: Any) -> Any:
    """An address to compare: of IPv6 ones, the system tells more than host and port."""
    return address[:2] if isinstance(address, tuple) else address
