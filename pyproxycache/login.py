"""A client's own connection to an origin, which its credentials logged in."""

from __future__ import annotations

from typing import Any


class Login:
    """What a client's connection has at one origin, where a login is one of the connection (RFC 4559).

    Requests of one client's connection come one after the other, so one thread at a time uses it.
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
        """Whether it is one at this origin."""
        return self._origin == origin

    def take(self) -> Any:
        """The connection to the origin, if it is there; the caller's from here on."""
        kept, self._kept = self._kept, None
        return kept

    def keep(self, origin: str, connection: Any) -> None:
        """The connection is logged in at the origin, or on the way to it."""
        self.close()
        self._origin, self._kept = origin, connection

    def close(self) -> None:
        """The client has gone, or logs in elsewhere."""
        if self._kept is not None:
            self._kept.close()
        self._kept = None
