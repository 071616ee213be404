"""Redirects that the cache follows itself, for clients that expect the resource itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pyproxycache.errors import BadRequest, UpstreamError
from pyproxycache.facts import Facts
from pyproxycache.messages import Head, Request
from pyproxycache.response import Response
from pyproxycache.rules.redirection import redirected
from pyproxycache.steps import Steps
from pyproxycache.url import without_query

Handle = Callable[[Request, Facts], Steps[Response]]

_MOST = 10


def followed(request: Request, facts: Facts, handle: Handle) -> Steps[tuple[Request, Response]]:
    """The last request that redirects lead to, and its answer; each request on the way goes to `handle`.

    Only for GET and HEAD. Raises UpstreamError if there are too many redirects, if they lead in a circle,
    or if one leads to no http or https URL.
    """
    seen = {str(request.url)}
    for _ in range(_MOST + 1):
        response = yield from handle(request, facts)
        further = _further(request, response.head)
        if further is None:
            # Memory must not keep it, as the next request has to look at each redirect again.
            return request, response if len(seen) == 1 else replace(response, reuse_terms=None)
        response.body.close()
        if str(further.url) in seen:
            raise UpstreamError(f"{without_query(str(further.url))} redirects in a circle")
        seen.add(str(further.url))
        request = further
    raise UpstreamError(f"more than {_MOST} redirects, the last to {without_query(str(request.url))}")


def _further(request: Request, head: Head) -> Request | None:
    """The request for what the answer redirects to; None if it is no redirect."""
    try:
        return redirected(request, head)
    except BadRequest as error:
        asked = without_query(str(request.url))
        raise UpstreamError(f"{asked} redirects to what cannot be fetched: {error}") from None
