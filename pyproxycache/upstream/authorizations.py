"""The cache's own credentials for upstreams, and the tokens that it has got by them or without any."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pyproxycache import clock
from pyproxycache.blocking import Blocking
from pyproxycache.errors import BadRequest
from pyproxycache.messages import Head, OwnAccess, Request
from pyproxycache.upstream.exchange import Exchange
from pyproxycache.upstream.tokens import read_token
from pyproxycache.url import Url

log = logging.getLogger("pyproxycache.upstream")

_PATIENCE = 30.0  # seconds for a token
_MOST = 4096  # tokens that are kept
_EARLY = 0.9  # share of its lifetime after which a token is not sent any more
_BASIC_FOR = 3600.0  # seconds for which an upstream is known to take name and password

Ask = Callable[[Url, str, float], Exchange]
"""Sends a GET with this Authorization ("": none) on behalf of the request's client, as the guard allows.

The last argument is the patience for the head, in seconds. Raises what Upstream.send() does.
"""

Demanded = Callable[[Head, Url], tuple[bool, Url | None]]
"""Gives what a 401 of an upstream (its URL) wants: whether user and password, and the URL of a token.

Raises BadRequest if the head names a URL that cannot be used.
"""


def _nothing_demanded(_head: Head, _upstream: Url) -> tuple[bool, Url | None]:
    return False, None


@dataclass(frozen=True, slots=True)
class UpstreamCredentials:
    """The cache's own credentials for an upstream, as its Authorization: "Basic …", or "Bearer …"."""

    authorization: str = field(repr=False)

    @property
    def is_token(self) -> bool:
        """Whether they are a token already, by which no other one is got."""
        return self.authorization.startswith("Bearer ")


@dataclass(frozen=True, slots=True)
class _Kept:
    authorization: str = field(repr=False)
    until: float


class Authorizations:
    """Gives requests their Authorization by the OwnAccess that they have; safe to use from any thread.

    `credentials` are those for upstreams, by the upstream's URL; `demanded` reads challenges. `_kept` has
    the tokens and `_asking` those that are being asked for; both are guarded by `_changed`, which is not
    held meanwhile.
    """

    def __init__(
        self,
        credentials: Mapping[Url, UpstreamCredentials] | None = None,
        demanded: Demanded = _nothing_demanded,
    ) -> None:
        self._credentials = credentials or {}
        self._demanded = demanded
        self._changed = threading.Condition()
        self._kept: OrderedDict[OwnAccess, _Kept] = OrderedDict()
        self._asking: set[OwnAccess] = set()

    def known(self, request: Request) -> str:
        """The Authorization to send the request with now; "" for none."""
        access = _access(request)
        if access is None:
            return ""
        own = self._credentials.get(access.upstream)
        if access.space is None or (own is not None and own.is_token):
            return "" if own is None else own.authorization
        with self._changed:
            return self._fresh(access)

    def asked_for(self, request: Request, sent: str, head: Head, ask: Ask) -> str:
        """Another Authorization than the one `sent`, as the answer's challenge wants it; "" if none is had.

        Only one thread asks for a token; the others wait for what it gets. Raises what `ask` and
        read_token() do.
        """
        access = _access(request)
        if access is None or head.status != 401:
            return ""
        own = self._credentials.get(access.upstream)
        if access.space is None or (own is not None and own.is_token):
            _warn_refused(access, head)
            return ""
        until = clock.steady() + _PATIENCE
        waited = False
        with Blocking(), self._changed:
            while access in self._asking:
                waited = True
                if not self._changed.wait(until - clock.steady()):
                    return ""
            found = self._fresh(access)
            if found and found != sent:
                return found
            self._kept.pop(access, None)
            if waited:  # whoever asked has got none, and so would this thread
                return ""
            self._asking.add(access)
        kept = None
        try:
            kept = self._wanted(access, own, sent, head, ask)
        finally:
            with self._changed:
                self._asking.discard(access)
                if kept is not None:
                    self._kept[access] = kept
                    while len(self._kept) > _MOST:
                        self._kept.popitem(last=False)
                self._changed.notify_all()
        return "" if kept is None else kept.authorization

    def _wanted(
        self, access: OwnAccess, own: UpstreamCredentials | None, sent: str, head: Head, ask: Ask
    ) -> _Kept | None:
        """What the answer's challenge wants, and this cache can give; None if there is no such thing."""
        try:
            takes_basic, url = self._demanded(head, access.upstream)
        except BadRequest as error:
            log.warning("%s names no URL that tokens can be got from: %s", access.upstream, error)
            return None
        if url is not None:
            return _by_token(access, own, url, ask)
        if own is not None and takes_basic and sent != own.authorization:
            return _Kept(own.authorization, clock.steady() + _BASIC_FOR)
        if own is not None:
            _warn_refused(access, head)
        return None

    def _fresh(self, access: OwnAccess) -> str:
        kept = self._kept.get(access)
        if kept is None:
            return ""
        if kept.until <= clock.steady():
            del self._kept[access]
            return ""
        self._kept.move_to_end(access)
        return kept.authorization


def _access(request: Request) -> OwnAccess | None:
    """The request's access, if its URL is covered and the client has sent no credentials of its own."""
    access = request.access
    if access is None or "authorization" in request.headers or not access.covers(request.url):
        return None
    return access


def _by_token(access: OwnAccess, own: UpstreamCredentials | None, url: Url, ask: Ask) -> _Kept | None:
    """The token that the URL gives; None if it gives none."""
    begun = clock.steady()
    exchange = ask(url, "" if own is None else own.authorization, _PATIENCE)
    token = read_token(exchange, url.origin, begun + _PATIENCE)
    if token is None:
        by = "without credentials" if own is None else "for the credentials of this upstream"
        log.warning("%s: %s gives no token %s", access.upstream, url.origin, by)
        return None
    return _Kept(f"Bearer {token.text}", begun + token.lifetime * _EARLY)


def _warn_refused(access: OwnAccess, head: Head) -> None:
    log.warning("%s refuses the credentials of this upstream: %s", access.upstream, head.status)
