"""Pages that show what is made for each request of them."""

from __future__ import annotations

from collections.abc import Callable

from pyproxycache.front.admin.admin_pages import AdminPage
from pyproxycache.front.admin.admin_reply import AdminReply
from pyproxycache.front.admin.admin_request import AdminRequest


def shown(make: Callable[[], bytes], content_type: str) -> AdminPage:
    """A page with this content; `make` may raise ProxyError."""

    def answer(_request: AdminRequest) -> AdminReply:
        return AdminReply(200, make(), content_type)

    return AdminPage(answer)
