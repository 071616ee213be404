"""A connection to an origin that one client's credentials authenticate (RFC 4559)."""

from __future__ import annotations

from typing import Any


class ConnectionLogin:
    """The authenticated connection to one origin that belongs to one client's connection (RFC 4559).

    NTLM and Negotiate authenticate a connection, not a request. Requests of one client's connection come
    one after the other, so only one thread at a time uses this.
    """

    __slots__ = ("_kept", "_origin")

    def __init__(self) -> None:
        self._origin = ""
        self._kept: Any = None

    @property
    def is_used(self) -> bool:
        """Whether the client has logged in anywhere."""
        return bool(self._origin)

    def is_at(self, origin: str) -> bool:
        """Whether the client has logged in at this origin."""
        return self._origin == origin

    def take(self) -> Any:
        """Take the connection to the origin, which the caller owns then; None if there is none."""
        kept, self._kept = self._kept, None
        return kept

    def keep(self, origin: str, connection: Any) -> None:
        """Keep a connection that is logged in at the origin, or in the middle of logging in."""
        self.close()
        self._origin, self._kept = origin, connection

    def close(self) -> None:
        """Close the connection: the client has gone, or logs in elsewhere."""
        if self._kept is not None:
            self._kept.close()
        self._kept = None
