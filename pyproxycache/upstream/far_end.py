"""The far end of a tunnel, or of a connection that has switched to another protocol."""

from __future__ import annotations

from collections.abc import Callable

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
        self._at_end: Callable[[], None] | None = None

    def at_end(self, call: Callable[[], None]) -> None:
        """Have this called once the connection is closed."""
        self._at_end = call

    def close(self) -> None:
        """Close the connection."""
        call, self._at_end = self._at_end, None
        if call is not None:
            call()
        super().close()
