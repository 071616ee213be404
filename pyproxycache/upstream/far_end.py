"""The far end of a tunnel, or of a connection that has switched to another protocol."""

from __future__ import annotations

from pyproxycache.messages import Head
from pyproxycache.upstream.connection import OriginConnection


class FarEnd:
    """The stream to the far end, and its bytes that were read already (`early`)."""

    def __init__(self, connection: OriginConnection) -> None:
        self.stream, self.early = connection.raw()
        self._connection = connection

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Switched(FarEnd):
    """A connection that has switched protocols by the 101 with this head (RFC 9110 section 7.8)."""

    def __init__(self, head: Head, connection: OriginConnection) -> None:
        super().__init__(connection)
        self.head = head
