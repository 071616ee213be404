"""Redirects that the cache follows itself, for clients that expect the resource in any case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urljoin

from pyproxycache.errors import BadRequest, UpstreamError
from pyproxycache.facts import Facts
from pyproxycache.front.requests.target import Wanted, quoted_url
from pyproxycache.messages import Head, Request, Response, without_query
from pyproxycache.rules.userinfo import basic_credentials
from pyproxycache.steps import Steps

Handle = Callable[[Request, Facts], Steps[Response]]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST = 10
# What a client sent to one origin is no other one's to see.
_FOR_ONE_ORIGIN = ("Authorization", "Cookie")


def followed(request: Request, facts: Facts, handle: Handle) -> Steps[tuple[Request, Response]]:
    """The request for what redirects lead to, and its answer; each step is handled like any request.

    Raises UpstreamError where they lead in a circle, on and on, or to no http URL. GET and HEAD alone.
    """
    seen = {str(request.url)}
    for _ in range(_MOST + 1):
        response = yield from handle(request, facts)
        wanted = _redirected(request, response.head)
        if wanted is None:
            # A later request has to ask for each step again, which memory does not do.
            return request, response if len(seen) == 1 else replace(response, reuse_terms=None)
        response.body.close()
        if str(wanted.url) in seen:
            raise UpstreamError(f"{without_query(str(wanted.url))} redirects in a circle")
        seen.add(str(wanted.url))
        request = _onward(request, wanted)
    raise UpstreamError(f"more than {_MOST} redirects, the last to {without_query(str(request.url))}")


def _redirected(request: Request, head: Head) -> Wanted | None:
    """Where the answer sends the client; None where it is the answer."""
    locations = head.headers.lines("location")
    if head.status not in _REDIRECTS or not locations:
        return None
    try:
        return quoted_url(urljoin(str(request.url), locations[0].strip()).partition("#")[0])
    except (BadRequest, ValueError) as error:
        asked = without_query(str(request.url))
        raise UpstreamError(f"{asked} redirects to what cannot be fetched: {error}") from None


def _onward(request: Request, wanted: Wanted) -> Request:
    headers = request.headers
    if wanted.url.origin != request.url.origin:
        headers = headers.without(*_FOR_ONE_ORIGIN)
    if wanted.userinfo and "authorization" not in headers:
        headers = headers.with_field("Authorization", basic_credentials(wanted.userinfo))
    return replace(request, url=wanted.url, headers=headers)
