"""How old a stored response is, how long it stays fresh, and when it may be served stale."""

from __future__ import annotations

from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.rules.cache_control import RequestDirectives, ResponseDirectives, response_directives
from pyproxycache.rules.grammar import delta_seconds, http_date, split_list
from pyproxycache.rules.immutable import LIFETIME
from pyproxycache.rules.policy import Policy

HEURISTICALLY_CACHEABLE = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses that may be stored without explicit freshness (RFC 9110 section 15.1)."""

UNKNOWN_AGE = float(1 << 31)
"""Seconds: what a number of seconds means that is too large to be told (RFC 9111 section 1.2.2)."""

CLOCK_TOLERANCE = 5.0
"""Seconds by which a clock may be corrected without anything stored being in doubt."""

_HEURISTIC_SHARE = 0.1
_HEURISTIC_CAP = 7 * 86400.0


def effective_headers(head: Head, policy: Policy) -> Headers:
    """The fields that the rules look at: those that the policy does not ignore."""
    headers = head.headers
    return headers.without(*policy.ignore) if policy.ignore else headers


def directives_of(head: Head, policy: Policy) -> ResponseDirectives:
    """The response's directives as the policy has them read."""
    return response_directives(effective_headers(head, policy), policy.targets)


def date_of(headers: Headers, name: str) -> float | None:
    """The field's first line as seconds since the epoch; None if it is absent or invalid."""
    lines = headers.lines(name)
    return http_date(lines[0].strip(" \t")) if lines else None


def recency(entry: Entry) -> tuple[float, float]:
    """What makes one stored response more recent than another: its Date, then when it came."""
    date = date_of(entry.headers, "date")
    return entry.response_time if date is None else date, entry.response_time


def current_age(entry: Entry, now: float) -> float:
    """Seconds since the origin made or validated the response (RFC 9111 section 4.2.3).

    One that came later than now, by a clock that has been set back since, or at a time that is not known
    any more (0), is of UNKNOWN_AGE.
    """
    if not 0 < entry.response_time <= now + CLOCK_TOLERANCE:
        return UNKNOWN_AGE
    date = date_of(entry.headers, "date")
    apparent = 0.0 if date is None else max(0.0, entry.response_time - date)
    # Of a list the first member counts, and an invalid one not at all (RFC 9111 section 5.1).
    stated = split_list(entry.headers.get("age") or "")
    age = (delta_seconds(stated[0]) if stated else None) or 0
    corrected = age + max(0.0, entry.response_time - entry.request_time)
    return max(apparent, corrected) + max(0.0, now - entry.response_time)


def freshness_lifetime(
    head: Head, policy: Policy, ttl: float | None = None, received: float | None = None
) -> float:
    """Seconds for which the response is fresh, counted from its Date (RFC 9111 section 4.2.1).

    Negative where it had expired before it was sent. `ttl` is what a request asks for: it replaces the
    lifetime of a 200 or a part of it, and only shortens that of one which is not to be used when stale.
    The policy's `fresh` replaces that of anything. `received` stands in for a missing Date (epoch seconds).
    """
    own = _own_lifetime(head, policy, received)
    if ttl is None or head.status not in (200, 206):
        return own
    return min(own, ttl) if directives_of(head, policy).never_stale else ttl


def _own_lifetime(head: Head, policy: Policy, received: float | None) -> float:
    """The lifetime by the response itself, or the operator's rule."""
    if policy.fresh is not None:
        return policy.fresh
    if policy.immutable:
        return LIFETIME
    headers = effective_headers(head, policy)
    directives = directives_of(head, policy)
    if directives.s_maxage is not None:
        return float(directives.s_maxage)
    if directives.max_age is not None:
        return float(directives.max_age)
    date = date_of(headers, "date")
    if date is None:
        date = received
    if "expires" in headers and not directives.targeted:
        return _until_expires(headers, date)
    if head.status in HEURISTICALLY_CACHEABLE or directives.public:
        return _heuristic(headers, date)
    return 0.0


def _until_expires(headers: Headers, date: float | None) -> float:
    expires = date_of(headers, "expires")
    # Lines that differ make it stale, as an invalid date does (RFC 9111 sections 4.2.1 and 5.3).
    if expires is None or date is None or len(set(headers.lines("expires"))) > 1:
        return 0.0
    return expires - date


def _heuristic(headers: Headers, date: float | None) -> float:
    """A tenth of the time since the last change, a week at most (RFC 9111 section 4.2.2)."""
    modified = date_of(headers, "last-modified")
    if modified is None or date is None:
        return 0.0
    return min(max(0.0, date - modified) * _HEURISTIC_SHARE, _HEURISTIC_CAP)


def entry_lifetime(entry: Entry, policy: Policy, ttl: float | None = None) -> float:
    """The lifetime of a stored response to a request that asks for this `ttl` (None: for none).

    The shortest ttl that was asked for since it came counts, among requests that ask for one.
    """
    if ttl is not None and entry.ttl is not None:
        ttl = min(ttl, entry.ttl)
    return freshness_lifetime(entry.head, policy, ttl, entry.response_time)


def request_accepts(asked: RequestDirectives, age: float, left: float, may_be_stale: bool) -> bool:
    """Whether a copy of that age, with that much freshness left, is what the request asks for.

    Seconds; `left` is 0 or negative for a stale copy. RFC 9111 section 5.2.1.
    """
    if asked.no_cache or (asked.max_age is not None and (age > asked.max_age or asked.max_age == 0)):
        return False
    if asked.min_fresh is not None and left < asked.min_fresh:
        return False
    if left > 0:
        return True
    return may_be_stale and asked.max_stale is not None and -left <= asked.max_stale


def stale_if_error_allowed(
    entry: Entry, policy: Policy, now: float, asked: RequestDirectives | None = None
) -> bool:
    """Whether the copy may stand in for a failing origin (RFC 9111 section 4.2.4, RFC 5861).

    The limit past freshness is the policy's, else the response's, and the request's where that is
    longer; where nobody sets one, as long as the copy is kept.
    """
    directives = directives_of(entry.head, policy)
    left = entry_lifetime(entry, policy) - current_age(entry, now)
    if directives.never_stale and (left <= 0 or directives.must_validate):
        return False
    allowed = directives.stale_if_error if policy.stale_if_error is None else policy.stale_if_error
    limits = [n for n in (allowed, asked.stale_if_error if asked else None) if n is not None]
    return not limits or -left <= max(limits)
