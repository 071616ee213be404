"""Whether the server lives, and whether clients are to be sent to it."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache.errors import StoreError
from pyproxycache.front.admin.admin_reply import AdminReply, told
from pyproxycache.front.admin.admin_request import AdminRequest


def live(_request: AdminRequest) -> AdminReply:
    """A worker is there to answer."""
    return told(200, "ok")


class Readiness:
    """Tells why clients are not to be sent here: the server is to stop, or its store cannot be opened."""

    def __init__(self, drains: Callable[[], bool], look: Callable[[], object]) -> None:
        """`look` looks into the store, and raises StoreError if that is not possible."""
        self._drains = drains
        self._look = look

    def answer(self, _request: AdminRequest) -> AdminReply:
        """200, or 503 with the reason."""
        if self._drains():
            return told(503, "draining: the server is to stop")
        try:
            self._look()
        except StoreError as error:
            return told(503, f"there is no store, and requests are passed on: {error}")
        return told(200, "ok")
