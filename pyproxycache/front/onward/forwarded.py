"""Forwarded (RFC 7239) and X-Forwarded fields, which tell origins of clients and the address they used."""

from __future__ import annotations

import re
from dataclasses import replace

from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.gates.access import Access
from pyproxycache.messages import Headers, Request
from pyproxycache.options import ForwardedOptions
from pyproxycache.rules.field_names import usual_name
from pyproxycache.rules.grammar import split_list, without_nominated
from pyproxycache.rules.variants import METHOD_OVERRIDES, OVERRIDING

_FOR, _HOST, _PROTO, _ALL = "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"
_NAMES = (_FOR, _HOST, _PROTO, _ALL)
_LOWER_NAMES = frozenset(map(str.lower, _NAMES))
_OF_PROXIES = (OVERRIDING - METHOD_OVERRIDES) | {"x-real-ip"}
# Each begins where the one before ends: a search from within a name costs its length squared.
_PARAMETER = re.compile(r"(?:^|;)[ \t]*+([A-Za-z]++)=(?:\"([^\"]*)\"|([^\s;,\"]+))")


class Forwarding:
    """Adds Forwarded fields to requests, and removes those of clients that are not trusted."""

    def __init__(self, options: ForwardedOptions, *, is_reverse: bool) -> None:
        self._sends = is_reverse if options.send is None else options.send
        self._is_reverse = is_reverse
        self._trusts = Access(options.trust).admits if options.trust else None

    def with_fields(self, request: Request, scheme: str) -> Request:
        """The request with the cache's own Forwarded fields if they are sent, without untrusted clients'.

        `scheme` is that by which the client came; a proxy that ended TLS before says so in these fields.
        A forward proxy that sends none leaves the client's as they are.
        """
        if not (self._sends or self._is_reverse):
            return request
        given = without_nominated(request.headers)
        unwanted = self._unwanted(given.names(), request.client)
        if unwanted:
            given = given.lacking(unwanted)
        headers = _told(given, request.client, scheme) if self._sends else given
        return replace(request, headers=headers, is_forwarded=self._sends)

    def is_doubtful(self, received: RawRequest) -> bool:
        """Whether the same request would mean something else if a trusted proxy had sent it."""
        if self._trusts is None or self._is_trusted(received.client):
            return False
        return any(map(_is_of_proxies, received.headers.names()))

    def _unwanted(self, names: frozenset[str], client: str) -> set[str]:
        """Those of these names that the client may not send.

        Nobody has a reason to write one otherwise than it is, and upstreams may read it all the same.
        """
        is_ours = _is_of_proxies if self._is_reverse else _LOWER_NAMES.__contains__
        found = {name for name in names if is_ours(usual_name(name))}
        if found and self._is_trusted(client):
            found = {name for name in found if name != usual_name(name)}
        return found

    def _is_trusted(self, client: str) -> bool:
        return self._trusts is not None and self._trusts(client)


def _is_of_proxies(name: str) -> bool:
    """Whether a field of this name, in lower case, is a proxy's word on who asks for what."""
    return name.startswith("x-forwarded-") or name in _OF_PROXIES


def _told(headers: Headers, client: str, scheme: str) -> Headers:
    own_host, before = headers.get("host") or "", headers.get(_ALL) or ""
    first = _first_element(before) if before else {}
    host = headers.get(_HOST) or first.get("host") or own_host
    proto = headers.get(_PROTO) or first.get("proto") or scheme
    node = f'"[{client}]"' if ":" in client else client
    element = f"for={node}" + (f';host="{own_host}"' if own_host else "") + f";proto={scheme}"
    lines = [
        (_FOR, ", ".join(filter(None, (headers.get(_FOR), client)))),
        *([(_HOST, host)] if host else []),
        (_PROTO, proto),
        (_ALL, ", ".join(filter(None, (before, element)))),
    ]
    return Headers((*headers.lacking(_LOWER_NAMES), *lines))


def _first_element(forwarded: str) -> dict[str, str]:
    """The parameters of the first element, by the proxy next to the client; names in lower case."""
    elements = split_list(forwarded)
    found = _PARAMETER.finditer(elements[0] if elements else "")
    return {pair[1].lower(): pair[2] or pair[3] or "" for pair in found}
