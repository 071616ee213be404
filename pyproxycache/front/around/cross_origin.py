"""CORS: which pages of other origins may use a route, as the Fetch standard has it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Head, Headers
from pyproxycache.response import Response
from pyproxycache.route_options.around import CorsOptions
from pyproxycache.rules.grammar import split_list
from pyproxycache.serving.responses import from_text

_ANY = "*"
_ALLOW = "Access-Control-Allow-"
_OF_UPSTREAM = frozenset(
    f"access-control-{name}"
    for name in (
        *("allow-origin", "allow-credentials", "allow-methods", "allow-headers"),
        *("expose-headers", "max-age"),
    )
)
_WITHOUT_ORIGIN = ("GET", "HEAD")
# What pages may send in any case.
_SIMPLE_METHODS = ("GET", "HEAD", "POST")
_WANTED = ("Access-Control-Request-Method", "Access-Control-Request-Headers")


class CrossOrigin:
    """Answers preflight requests, and tells browsers which pages may read a route's answers.

    `methods` are those that the route takes, none for any.
    """

    def __init__(self, options: CorsOptions, methods: Sequence[str]) -> None:
        self._options = options
        self._is_open = _ANY in options.origins
        self._fits = re.compile("|".join(map(_pattern, options.origins)))
        self._methods = options.methods or tuple(methods) or _SIMPLE_METHODS

    def preflight(self, received: RawRequest) -> Response | None:
        """The answer to a preflight request; None if it is another one."""
        if received.method != "OPTIONS" or not (
            "origin" in received.headers and _WANTED[0] in received.headers
        ):
            return None
        if not self._admits(received):
            return _varying(from_text(403, "pages of this origin may not use this route"))
        options = self._options
        fields = [
            *self._told(received),
            (f"{_ALLOW}Methods", ", ".join(self._methods)),
            *([(f"{_ALLOW}Headers", ", ".join(options.headers))] if options.headers else ()),
            ("Access-Control-Max-Age", str(int(options.max_age))),
            ("Cache-Control", "no-store"),
        ]
        return _varying(Response(Head(204, "", Headers(fields))))

    def onward(self, headers: Headers, method: str, *, switches: bool) -> Headers:
        """The fields without Origin, where the upstream's answer is for all pages and to be shared.

        Others keep it: upstreams go by it where something is changed, or a connection switches.
        """
        return headers if switches or method not in _WITHOUT_ORIGIN else headers.without("Origin")

    def shown(self, received: RawRequest, head: Head) -> Head:
        """The head as it is for the page that the request is from."""
        fields = self._told(received)
        if fields and self._options.expose:
            fields.append(("Access-Control-Expose-Headers", ", ".join(self._options.expose)))
        headers = Headers((*head.headers.lacking(_OF_UPSTREAM), *fields))
        return head.with_headers(headers if self._is_open else with_vary(headers, "Origin"))

    def _told(self, received: RawRequest) -> list[tuple[str, str]]:
        """The fields that let the page see the answer; none if it may not."""
        if self._is_open:
            return [(f"{_ALLOW}Origin", _ANY)]
        if not self._admits(received):
            return []
        credentials = [(f"{_ALLOW}Credentials", "true")] if self._options.credentials else []
        return [(f"{_ALLOW}Origin", received.field("origin")), *credentials]

    def _admits(self, received: RawRequest) -> bool:
        lines = received.headers.lines("origin")
        return len(lines) == 1 and (self._is_open or self._fits.fullmatch(lines[0]) is not None)


def with_vary(headers: Headers, *names: str) -> Headers:
    """The fields with these names in Vary."""
    named = split_list(headers.get("vary") or "")
    known = {name.lower() for name in named}
    missing = [name for name in names if name.lower() not in known]
    if not missing or _ANY in known:
        return headers
    return headers.with_field("Vary", ", ".join((*named, *missing)))


def _varying(response: Response) -> Response:
    head = response.head
    return response.with_headers(with_vary(head.headers, "Origin", *_WANTED))


def _pattern(origin: str) -> str:
    return re.escape(origin).replace(r"\*", r"(?:[a-z0-9-]+\.)*[a-z0-9-]+")
