"""The pages of the admin listener: which one is asked for, who may, and what errors say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyproxycache.errors import ProxyError
from pyproxycache.front.admin.admin_access import AdminAccess, TokenWanted
from pyproxycache.front.admin.admin_reply import AdminReply, told
from pyproxycache.front.admin.admin_request import AdminRequest

log = logging.getLogger("pyproxycache")

READ = ("GET", "HEAD")
_CHALLENGE = ("WWW-Authenticate", 'Bearer realm="pyproxycache admin"')


@dataclass(frozen=True, slots=True)
class AdminPage:
    """What answers requests for one path with one of these methods; it may raise ProxyError."""

    answer: Callable[[AdminRequest], AdminReply]
    methods: tuple[str, ...] = READ


class AdminPages:
    """Answers the operator's requests; safe to call from any number of threads."""

    def __init__(self, access: AdminAccess, pages: Mapping[str, AdminPage]) -> None:
        self._access = access
        self._pages = pages

    def answer(self, request: AdminRequest) -> AdminReply:
        """The answer, also to what is refused or fails."""
        try:
            self._access.check(request)
            return self._answered(request)
        except ProxyError as error:
            return refused(error)
        except Exception:
            log.exception("an answer to the operator failed inside the cache")
            return told(500, "the cache failed; its log says more")

    def _answered(self, request: AdminRequest) -> AdminReply:
        page = self._pages.get(request.path)
        if page is None:
            return told(404, f"there are: {' '.join(self._pages)}")
        if request.method not in page.methods:
            accepted = ", ".join(page.methods)
            return told(405, f"{request.path} takes {accepted}", ("Allow", accepted))
        return page.answer(request)


def refused(error: ProxyError) -> AdminReply:
    """The answer that tells of an error."""
    fields = (_CHALLENGE,) if isinstance(error, TokenWanted) else error.headers
    return told(error.status, str(error), *fields)
