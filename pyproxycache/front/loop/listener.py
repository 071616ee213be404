"""A socket that clients connect to, and what is spoken there."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from pyproxycache.tls.server_tls import ServerTls


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, which does not block; `tls` is that of its connections, None for plain HTTP.

    `redirected` is the scheme of the origins to which its connections were made, before a firewall has
    redirected them; "" if clients connect to it themselves.
    """

    sock: socket.socket
    tls: ServerTls | None = None
    redirected: str = ""
