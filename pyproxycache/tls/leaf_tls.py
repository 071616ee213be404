"""The TLS of intercepted connections, on which the cache shows leaves of its own authority."""

from __future__ import annotations

import ssl
from pathlib import Path

from pyproxycache.net.layered_tls import MakeEnd
from pyproxycache.tls.certificate_authority import CertificateAuthority
from pyproxycache.tls.leaves import Leaves
from pyproxycache.tls.server_tls import server_context


class LeafTls:
    """Makes the server's ends of TLS for hosts; belongs to the poller.

    It is made before the workers are forked: all handshakes begin by one context, whose keys for session
    tickets they share then, and go on by that of the host's leaf.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is that of the authority. Raises ConfigError."""
        self.authority = CertificateAuthority.load(folder)
        self._base = server_context()
        self._leaves = Leaves(self.authority, server_context)

    def end(self, host: str, client: str, now: float) -> MakeEnd:
        """What makes the server's end of a connection for the host; `client` is the client's IP address.

        `now` is in epoch seconds. Raises MintRefused if there is no leaf for the host, or none now.
        """
        context = self._leaves.context_for(host, client, now)

        def make(incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
            made = self._base.wrap_bio(incoming, outgoing, server_side=True)
            made.context = context
            return made

        return make
