"""A connection that has switched from HTTP to another protocol (RFC 9110 section 7.8)."""

from __future__ import annotations

from pyproxycache.messages import Head
from pyproxycache.upstream.connection import OriginConnection


class Switched:
    """The head of the 101, the stream for the other protocol, and its bytes that came already (`early`)."""

    def __init__(self, head: Head, connection: OriginConnection) -> None:
        self.head = head
        self.stream, self.early = connection.raw()
        self._connection = connection

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
