"""Lets only users of this proxy ask, and takes their credentials out of their requests."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

from pyproxycache.errors import Forbidden, UserChanged
from pyproxycache.facts import Authenticated, Facts
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.front.requests.target import is_for_proxy
from pyproxycache.gates.authentication import Authentication
from pyproxycache.steps import Steps

_FIELD = "Proxy-Authorization"


class UserCheck:
    """Passes on the requests of users, and those for `open_paths` of this cache, which are open to all."""

    def __init__(self, authentication: Authentication, open_paths: AbstractSet[str]) -> None:
        self._authentication = authentication
        self._open = open_paths

    def passed(self, received: RawRequest, facts: Facts) -> Steps[RawRequest]:
        """The request without its credentials for this proxy, so that no other part ever has them.

        Raises ProxyError if it has not those of a user, or is not one to a proxy: the credentials in such a
        one are for the origin.
        """
        ingress = received.ingress
        if ingress.origin is not None:  # its connection was let in as a whole
            facts.note(Authenticated(ingress.user))
            if ingress.user and not self._authentication.is_still(ingress.user, ingress.password_hash):
                raise UserChanged(
                    "the user who has logged in for this connection is none any more, or has another "
                    "password: log in on another connection",
                    headers=(("Connection", "close"),),
                )
            return replace(received, headers=received.headers.without(_FIELD))
        is_proxys = is_for_proxy(received.method, received.target)
        received.check_fields(names_cache=not is_proxys)  # for a doubtful one ends the connection
        stripped = replace(received, headers=received.headers.without(_FIELD))
        if not is_proxys:
            if received.target.partition("?")[0] in self._open:
                return stripped
            raise Forbidden(
                "this cache asks for a user name and a password, which only a proxy's clients can send: "
                "name it as their proxy (http_proxy), and do not write URLs behind its address"
            )
        verdict = yield from self._authentication.verdict(received.headers.lines(_FIELD), received.client)
        facts.note(Authenticated(verdict.user))
        known = replace(ingress, user=verdict.user, password_hash=verdict.hashed or b"")
        return replace(stripped, ingress=known)
