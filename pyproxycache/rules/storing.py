"""Whether a response is storable, and which fields of its head are stored (RFC 9111 section 3)."""

from __future__ import annotations

from dataclasses import replace

from pyproxycache.messages import Head, Request
from pyproxycache.rules.cache_control import ResponseDirectives, request_directives
from pyproxycache.rules.freshness import (
    HEURISTICALLY_CACHEABLE,
    date_of,
    directives_of,
    effective_headers,
    freshness_lifetime,
)
from pyproxycache.rules.grammar import end_to_end, format_http_date
from pyproxycache.rules.parts import part_of
from pyproxycache.rules.policy import Policy
from pyproxycache.rules.ranges import answers_range
from pyproxycache.rules.redirection import FOR_ONE_ORIGIN
from pyproxycache.rules.representation import is_unmarked_part
from pyproxycache.rules.validation import resolved, validators
from pyproxycache.rules.variants import METHOD_OVERRIDES

# Statuses whose caching behaviour is implemented here, as must-understand asks for
# (RFC 9111 section 5.2.2.3).
_UNDERSTOOD = frozenset(
    {*range(200, 207), *range(300, 304), 305, 307, 308, *range(400, 418), 421, 422, 426, *range(500, 506)}
)

# Reasons that come from one request or one answer, and say nothing about the next answer.
_OF_THIS_REQUEST = frozenset({"method", "request", "authorization", "partial", "range"})

# Bytes of a request's fields beyond which some origins, and proxies before them, refuse requests.
_USUAL_SIZE = 4096

_COOKIES = frozenset({"set-cookie", "set-cookie2"})
CREDENTIALS = frozenset(name.lower() for name in FOR_ONE_ORIGIN)
"""The request fields by which clients log in, in lower case."""
_FOR_ONE = frozenset({"private", "no-store", "authorization", "request", "set-cookie", "policy"})


def why_not_storable(request: Request, head: Head, policy: Policy, received: float) -> str | None:
    """Why the response must not, or need not, be stored (a token); None if it is storable.

    `request` is the one that was sent; `received` is in seconds since the epoch.
    """
    headers = effective_headers(head, policy)
    directives = directives_of(head, policy)
    if reason := _forbidden(request, head, policy, directives):
        return reason
    for_caches = policy.store_cookies or policy.immutable or _is_meant_for_caches(directives)
    if "set-cookie" in headers and not for_caches:
        return "set-cookie"
    ttl = request.ttl if head.status in (200, 206) else None
    stated = (
        directives.max_age is not None
        or directives.s_maxage is not None
        or ("expires" in headers and not directives.targeted)
    )
    if request.method == "POST" and request.content_key is None and not stated:
        return "method"
    if head.status >= 400 and is_unusual(request):
        return "request"
    if head.status >= 400 and head.status not in HEURISTICALLY_CACHEABLE and policy.fresh is None:
        return "status"
    explicit = stated or directives.public or policy.fresh is not None or ttl is not None
    if not explicit and head.status not in HEURISTICALLY_CACHEABLE:
        return "status"
    lifetime = freshness_lifetime(head, policy, ttl, received)
    if (lifetime <= 0 or directives.no_cache) and not validators(head):
        return "no-freshness"
    return None


def is_for_one(request: Request, head: Head, policy: Policy, received: float) -> bool:
    """Whether an answer with these fields, whatever its status, is for the requesting client alone."""
    return why_not_storable(request, replace(head, status=200), policy, received) in _FOR_ONE


def is_lasting(reason: str, *, of_all: bool) -> bool:
    """Whether the next answer, to any client, will likely not be storable for the same reason.

    `of_all` is false if a storable answer to another client is stored.
    """
    return reason not in _OF_THIS_REQUEST and (of_all or reason not in _FOR_ONE)


def stored_head(head: Head, policy: Policy, received: float | None = None) -> Head:
    """The head as it is stored (RFC 9111 section 3.1).

    It lacks hop-by-hop fields and those for the requesting client alone, and gets a Date of `received`
    (seconds since the epoch) if it has no valid one.
    """
    headers = end_to_end(head.headers).lacking(_own_names(head, policy))
    if received is not None and date_of(headers, "date") is None:
        headers = headers.with_field("Date", format_http_date(received))
    return Head(head.status, head.reason, headers)


def own_fields(head: Head, policy: Policy) -> tuple[tuple[str, str], ...]:
    """The fields of a storable answer that are for the requesting client alone."""
    names = head.headers.among(_own_names(head, policy))
    if not names:
        return ()
    return tuple(field for field in end_to_end(head.headers) if field[0].lower() in names)


def _own_names(head: Head, policy: Policy) -> frozenset[str]:
    """Names of the fields in no-cache="…" and private="…", and of Set-Cookie unless it is for all."""
    directives = directives_of(head, policy)
    for_all = policy.store_cookies or directives.public
    ignored = "set-cookie" in policy.ignore
    return directives.withheld if for_all and not ignored else directives.withheld | _COOKIES


def _forbidden(request: Request, head: Head, policy: Policy, directives: ResponseDirectives) -> str | None:
    """The reason (a token) by which HTTP or the operator forbids storing; None if nothing does."""
    if not _method_allows(request, head):
        return "method"
    if request_directives(request.headers).no_store:
        return "request"
    if policy.no_store:
        return "policy"
    if (
        head.status < 200
        or (head.status == 206 and not _is_asked_part(request, head))
        or is_unmarked_part(head)
    ):
        return "partial"
    if head.status == 416:
        return "range"  # it depends on Range, which is not in the key
    if directives.must_understand:
        # It overrides no-store, which is there for caches that do not know it.
        if head.status not in _UNDERSTOOD:
            return "must-understand"
    elif directives.no_store:
        return "no-store"
    if directives.private:
        return "private"
    if request.logs_in or head.logs_in:
        return "authorization"  # the connection was authenticated, not the request
    is_for_all = policy.immutable or policy.public
    unsettled = request.headers.among(CREDENTIALS - policy.settled)
    if is_for_all and "cookie" in unsettled and not _is_shared(directives):
        return "request"  # whatever its path, it may be that client's own page
    shareable = directives.public or directives.must_revalidate or directives.s_maxage is not None
    if (unsettled - {"cookie"}) and not shareable:
        return "authorization"
    return None


def _is_shared(directives: ResponseDirectives) -> bool:
    """Whether the origin says that the response is for all clients."""
    return directives.public or directives.s_maxage is not None


def _method_allows(request: Request, head: Head) -> bool:
    """Whether answers to the method can be reused, those to a POST as to a GET (RFC 9110 section 9.3.3)."""
    if request.method == "POST" and request.content_key is None:
        location = resolved(request.url, head.headers.get("content-location"))
        return head.status == 200 and location == request.url
    return request.method == "GET" or request.content_key is not None


def is_unusual(request: Request) -> bool:
    """Whether the request's fields may have caused an error that other clients would not get.

    They are too large for some origins, or name another method.
    """
    size = sum(len(name) + len(value) for name, value in request.headers)
    return size > _USUAL_SIZE or not METHOD_OVERRIDES.isdisjoint(request.headers.names())


def _is_asked_part(request: Request, head: Head) -> bool:
    part = part_of(head)
    return "range" in request.headers and part is not None and answers_range(request.headers, part)


def _is_meant_for_caches(directives: ResponseDirectives) -> bool:
    """Whether the origin says that caches may use the response, perhaps without its cookie."""
    return (
        directives.public
        or directives.s_maxage is not None
        or directives.max_age is not None
        or "set-cookie" in directives.withheld
    )
