"""What is spoken on each of the sockets that gunicorn has bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gunicorn import util

from pyproxycache.errors import ConfigError
from pyproxycache.front.loop.listener import Listener
from pyproxycache.tls.server_tls import ServerTls


def listeners_of(
    bound: Iterable[Any], addresses: Iterable[str], tls: Mapping[str, ServerTls]
) -> list[Listener]:
    """The listeners, whose TLS is found by the address that a socket was bound to, not by its position.

    `bound` are gunicorn's sockets, `addresses` those in `listen`, `tls` that of some of them. Raises
    ConfigError for a socket of no address if there is TLS: its clients must not get plain HTTP by mistake.
    """
    texts = {_place(util.parse_address(text)): text for text in addresses}
    found = []
    for one in bound:
        text = texts.get(_place(one.cfg_addr))
        if text is None and tls:
            raise ConfigError(
                f"the socket on {one.cfg_addr} is of no address in listen: {', '.join(texts.values())}"
            )
        found.append(Listener(one.sock, None if text is None else tls.get(text)))
    return found


def _place(address: Any) -> Any:
    """An address to compare: of IPv6 ones, the system tells more than host and port."""
    return address[:2] if isinstance(address, tuple) else address
