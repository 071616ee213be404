"""The two decisions of a shared cache, as values: what to do with a request, and with a response."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyproxycache.messages import Entry, Head, Headers, Request, Url
from pyproxycache.outcome import Forward
from pyproxycache.rules.cache_control import (
    RequestDirectives,
    ResponseDirectives,
    request_directives,
    response_directives,
)
from pyproxycache.rules.freshness import (
    HEURISTICALLY_CACHEABLE,
    considered,
    current_age,
    date_of,
    entry_lifetime,
    freshness_lifetime,
    request_accepts,
    stale_if_error_allowed,
)
from pyproxycache.rules.grammar import end_to_end, format_http_date
from pyproxycache.rules.keys import select_variant, vary_fields, vary_values
from pyproxycache.rules.policy import Policies, Policy
from pyproxycache.rules.validation import (
    conditional_headers,
    freshen,
    matches_304,
    strip_conditionals,
    validators,
)

# Statuses whose caching behaviour is implemented here: what must-understand asks for
# (RFC 9111 section 5.2.2.3). Not 206, of which no part is stored.
_UNDERSTOOD = frozenset(
    {*range(200, 206), *range(300, 304), 305, 307, 308, *range(400, 418), 421, 422, 426, *range(500, 506)}
)

# Preconditions that no cache evaluates: the origin has to see them (RFC 9111 section 4.3.2).
_FOR_THE_ORIGIN = ("If-Match", "If-Unmodified-Since")


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer with the entry; `age` and `ttl` in seconds, `ttl` negative once it is stale."""

    entry: Entry
    age: float
    ttl: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send the request with these headers; `stale` is the copy they validate, or that may stand in."""

    headers: Headers
    stale: Entry | None
    reason: Forward


@dataclass(frozen=True, slots=True)
class Bypass:
    """Forward the request as it is and store nothing of the answer."""

    reason: Forward


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this status and text, and ask nobody."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Store:
    """Store the response under these request fields."""

    vary: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Freshen:
    """The stored response is valid: answer with this updated entry and keep it."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class ServeStale:
    """Answer with the copy although it is not fresh; `detail` (a token) says what failed."""

    entry: Entry
    detail: str


@dataclass(frozen=True, slots=True)
class Pass:
    """Hand the response on and store nothing; `remember` if the next answer is likely the same."""

    reason: str
    remember: bool


def on_request(
    request: Request, entries: Sequence[Entry], policies: Policies, now: float
) -> Serve | Fetch | Bypass | Refuse:
    """What to do with the request, given the stored variants under its key (RFC 9111 section 4)."""
    if request.method not in ("GET", "HEAD"):
        return Bypass(Forward.METHOD)
    asked = request_directives(request.headers)
    if not asked.only_if_cached and _past_the_cache(request, asked):
        return Bypass(Forward.REQUEST)
    entry = select_variant(entries, request)
    if entry is None:
        reason = Forward.VARY_MISS if entries else Forward.URI_MISS
    else:
        judged = _judge(request, asked, entry, policies.for_head(request.url, entry.head), now)
        if isinstance(judged, Serve):
            return judged
        reason = judged
    if asked.only_if_cached:
        return Refuse(504, "only-if-cached was asked for, and nothing stored can answer the request")
    # The answer to a HEAD has no body to store.
    if request.method == "HEAD":
        return Bypass(reason)
    return Fetch(_outbound(request.headers, entry), entry, reason)


def on_response(
    request: Request,
    head: Head,
    stale: Entry | None,
    policies: Policies,
    request_time: float,
    response_time: float,
) -> Store | Freshen | ServeStale | Pass:
    """What to do with the answer to a Fetch, whose copy is `stale` (RFC 9111 sections 3 and 4.3.3).

    Times are seconds since the epoch.
    """
    if head.status == 304:
        if stale is None or not matches_304(stale, head):
            return Pass("unmatched-304", remember=False)
        entry = freshen(stale, head, request_time, response_time)
        kept = stored_head(entry.head, policies.for_head(request.url, stale.head))
        return Freshen(replace(entry, head=kept, ttl=entry.ttl if request.ttl is None else request.ttl))
    asked = request_directives(request.headers)
    failed = head.status >= 500 or head.status == 429
    if failed and stale is not None:
        policy = policies.for_head(request.url, stale.head)
        if stale_if_error_allowed(stale, policy, response_time, asked):
            return ServeStale(stale, f"origin-{head.status}")
    policy = policies.for_head(request.url, head)
    vary = vary_fields(considered(head, policy))
    reason = _obstacle(request, head, policy, response_time)
    if reason is not None or vary is None:
        # What one client's request or a passing trouble caused says nothing about the next answer.
        remember = not failed and reason not in ("method", "request", "authorization", "partial")
        return Pass(reason or "vary", remember)
    return Store(vary_values(vary, request))


def on_error(
    stale: Entry | None, policies: Policies, url: Url, now: float, request: Request | None = None
) -> ServeStale | None:
    """The copy that may stand in for an origin that gave no answer; None if none may."""
    if stale is None:
        return None
    asked = None if request is None else request_directives(request.headers)
    if stale_if_error_allowed(stale, policies.for_head(url, stale.head), now, asked):
        return ServeStale(stale, "origin-failed")
    return None


def stored_head(head: Head, policy: Policy, received: float | None = None) -> Head:
    """The head as it is stored (RFC 9111 section 3.1).

    Without hop-by-hop fields, fields withheld by no-cache="…" or private="…", and cookies the policy
    ignores; with a Date of `received` (seconds since the epoch) if it has no valid one.
    """
    directives = response_directives(considered(head, policy))
    cookies = ("set-cookie", "set-cookie2") if "set-cookie" in policy.ignore else ()
    headers = end_to_end(head.headers).without(*directives.withheld, *cookies)
    if received is not None and date_of(headers, "date") is None:
        headers = headers.with_field("Date", format_http_date(received))
    return replace(head, headers=headers)


def _past_the_cache(request: Request, asked: RequestDirectives) -> bool:
    """Whether the request has to reach the origin whole: its content or its conditions count there."""
    return (
        asked.no_store
        or request.body is not None
        or any(name in request.headers for name in _FOR_THE_ORIGIN)
    )


def _judge(
    request: Request, asked: RequestDirectives, entry: Entry, policy: Policy, now: float
) -> Serve | Forward:
    """Serve the entry, or the reason why the origin has to be asked."""
    directives = response_directives(considered(entry.head, policy))
    age = current_age(entry, now)
    lifetime = entry_lifetime(entry, policy)
    if request.ttl is not None:
        # A later ttl shortens what is left, it does not extend it.
        lifetime = min(lifetime, request.ttl)
    left = lifetime - age
    if directives.must_validate:
        return Forward.STALE
    if policy.fresh is not None and left > 0:
        # The operator's word on how long it lasts is for all clients, also those that ask to reload.
        return Serve(entry, age, math.floor(left), stale=False)
    if request_accepts(asked, age, left, may_be_stale=not directives.never_stale):
        return Serve(entry, age, math.floor(left), stale=left <= 0)
    return Forward.REQUEST if left > 0 else Forward.STALE


def _outbound(headers: Headers, stale: Entry | None) -> Headers:
    """What to send: the client's end-to-end fields, asking for the whole, validating the copy."""
    outbound = strip_conditionals(end_to_end(headers))
    for name, value in conditional_headers(stale) if stale is not None else ():
        outbound = outbound.with_line(name, value)
    return outbound


def _obstacle(request: Request, head: Head, policy: Policy, received: float) -> str | None:
    """Why the response must not or need not be stored, None if nothing stands against it."""
    headers = considered(head, policy)
    directives = response_directives(headers)
    if reason := _forbidden(request, head, policy, directives):
        return reason
    if "set-cookie" in headers and not _cookie_is_shared(directives):
        return "set-cookie"
    ttl = request.ttl if head.status == 200 else None
    lifetime = freshness_lifetime(head, policy, ttl, received)
    explicit = (
        directives.public
        or directives.max_age is not None
        or directives.s_maxage is not None
        or "expires" in headers
        or policy.fresh is not None
        or ttl is not None
    )
    if not explicit and head.status not in HEURISTICALLY_CACHEABLE:
        return "status"
    if (lifetime <= 0 or directives.no_cache) and not validators(head):
        return "no-freshness"
    return None


def _forbidden(request: Request, head: Head, policy: Policy, directives: ResponseDirectives) -> str | None:
    """The rule of RFC 9111 section 3, or of the operator, against storing; None if there is none."""
    if request.method != "GET":
        return "method"
    if request_directives(request.headers).no_store:
        return "request"
    if policy.no_store:
        return "policy"
    if head.status < 200 or head.status == 206:
        return "partial"
    if directives.must_understand:
        # It takes the place of a no-store that stands beside it for older caches.
        if head.status not in _UNDERSTOOD:
            return "must-understand"
    elif directives.no_store:
        return "no-store"
    if directives.private:
        return "private"
    shareable = directives.public or directives.must_revalidate or directives.s_maxage is not None
    if "authorization" in request.headers and not shareable:
        return "authorization"
    return None


def _cookie_is_shared(directives: ResponseDirectives) -> bool:
    """Whether the origin plainly meant the response for a shared cache, or its cookie is not stored."""
    return (
        directives.public
        or directives.s_maxage is not None
        or directives.max_age is not None
        or "set-cookie" in directives.withheld
    )
