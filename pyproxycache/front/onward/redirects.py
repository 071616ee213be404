"""Redirects that the cache follows itself, for clients that expect the resource itself."""

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
# Fields of a request that no other origin may see.
_FOR_ONE_ORIGIN = ("Authorization", "Cookie")


def followed(request: Request, facts: Facts, handle: Handle) -> Steps[tuple[Request, Response]]:
    """The last request that redirects lead to, and its answer; each request on the way goes to `handle`.

    Only for GET and HEAD. Raises UpstreamError if there are too many redirects, if they lead in a circle,
    or if one leads to no http or https URL.
    """
    seen = {str(request.url)}
    for _ in range(_MOST + 1):
        response = yield from handle(request, facts)
        wanted = _redirected(request, response.head)
        if wanted is None:
            # Memory must not keep it, as the next request has to look at each redirect again.
            return request, response if len(seen) == 1 else replace(response, reuse_terms=None)
        response.body.close()
        if str(wanted.url) in seen:
            raise UpstreamError(f"{without_query(str(wanted.url))} redirects in a circle")
        seen.add(str(wanted.url))
        request = _onward(request, wanted)
    raise UpstreamError(f"more than {_MOST} redirects, the last to {without_query(str(request.url))}")


def _redirected(request: Request, head: Head) -> Wanted | None:
    """The URL that the answer redirects to; None if it is no redirect."""
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
