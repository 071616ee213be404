"""Who may ask at the admin listener: whoever has the token, or asks from one of the networks."""

from __future__ import annotations

import hmac
import re
from ipaddress import ip_address

from pyproxycache.errors import Fault, Forbidden, ProxyError
from pyproxycache.front.admin.admin_request import AdminRequest
from pyproxycache.gates.access import Access
from pyproxycache.options import LOOPBACK, AdminOptions
from pyproxycache.rules.host_patterns import HostPatterns

_BEARER = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::[0-9]{1,5})?")
_OF_THIS_SITE = ("same-origin", "none")


class TokenWanted(ProxyError):
    """The request has not the token that it needs."""

    status = 401
    fault = Fault.CLIENT


class AdminAccess:
    """Admits requests; without a token these are those of this machine, unless `allow` says otherwise."""

    def __init__(self, options: AdminOptions, token: str | None) -> None:
        """`token` is what the one of the options stands for."""
        self._token = None if token is None else token.encode()
        networks = options.allow
        if networks is None:
            networks = LOOPBACK if token is None else ()
        self._access = Access(networks, "admin.allow")
        self._hosts = HostPatterns(options.hosts)

    def check(self, request: AdminRequest) -> None:
        """Raise Forbidden or TokenWanted if this may not be asked."""
        shown = request.fields.get("authorization")
        if self._token is not None and shown is not None:
            found = _BEARER.fullmatch(shown)
            given = b"" if found is None else found[1].encode("latin-1")
            if not hmac.compare_digest(given, self._token):
                raise TokenWanted("this is not the token of this server")
            return
        is_near = self._token is None if not request.peer else self._access.admits(request.peer)
        if not is_near:
            if self._token is not None:
                raise TokenWanted("send the token, as Authorization: Bearer TOKEN")
            raise Forbidden(f"{request.peer} is in none of the networks of 'admin.allow'")
        self._check_site(request)

    def _check_site(self, request: AdminRequest) -> None:
        """Raise Forbidden for what a page of another site has a browser of this network ask."""
        fields = request.fields
        if "origin" in fields or fields.get("sec-fetch-site", "none").lower() not in _OF_THIS_SITE:
            raise Forbidden("a page of another site asks, for which the token is needed")
        # A name that leads here may be anyone's, whose pages would then be of this site.
        if request.peer and "host" in fields and not self._is_own(fields["host"]):
            raise Forbidden(
                "ask by the server's IP address, as any name may lead here; or send the token,"
                " or add the name to 'admin.hosts'"
            )

    def _is_own(self, field: str) -> bool:
        found = _HOST.fullmatch(field)
        if found is None:
            return False
        host = found[1].lower().removesuffix(".")
        if host == "localhost":
            return True
        try:
            ip_address(host.strip("[]"))
        except ValueError:
            return bool(host) and self._hosts.fits(host)
        return True
