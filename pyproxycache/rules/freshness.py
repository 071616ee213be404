"""How old a stored response is, how long it stays fresh, and when it may be served stale."""

from __future__ import annotations

from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.rules.cache_control import RequestDirectives, ResponseDirectives, response_directives
from pyproxycache.rules.grammar import delta_seconds, http_date, split_list
from pyproxycache.rules.immutable import LIFETIME
from pyproxycache.rules.policy import Policy
from pyproxycache.rules.signed_urls import redirect_end

HEURISTICALLY_CACHEABLE = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""Statuses that may be stored without explicit freshness (RFC 9110 section 15.1)."""

UNKNOWN_AGE = float(1 << 31)
"""Seconds: the age of a response of which it is not known (the largest number, RFC 9111 section 1.2.2)."""

CLOCK_TOLERANCE = 5.0
"""Seconds by which the clock may be corrected without making the times of entries doubtful."""

_HEURISTIC_SHARE = 0.1
_HEURISTIC_CAP = 7 * 86400.0


def effective_headers(head: Head, policy: Policy) -> Headers:
    """The header fields without those that the policy ignores, but with the directives it respects."""
    headers = head.headers
    if not policy.ignore:
        return headers
    kept = headers.without(*policy.ignore)
    if policy.respected:
        told = [_named(one) for one in split_list(headers.get("cache-control") or "")]
        directives = ", ".join(name for name in told if name in policy.respected)
        kept = kept.with_field("Cache-Control", directives) if directives else kept
    return kept


def _named(directive: str) -> str:
    """The directive's name, in lower case and without its argument."""
    return directive.partition("=")[0].strip().lower()


def directives_of(head: Head, policy: Policy) -> ResponseDirectives:
    """The response's cache directives, from the fields that the policy lets count."""
    return response_directives(effective_headers(head, policy), policy.targets)


def date_of(headers: Headers, name: str) -> float | None:
    """The date in the field's first line, in seconds since the epoch; None if it is absent or invalid."""
    lines = headers.lines(name)
    return http_date(lines[0].strip(" \t")) if lines else None


def recency(entry: Entry) -> tuple[float, float]:
    """A sort key for how recent an entry is: its Date, then when it was received."""
    date = date_of(entry.headers, "date")
    return entry.response_time if date is None else date, entry.response_time


def current_age(entry: Entry, now: float) -> float:
    """Seconds since the origin made or validated the response (RFC 9111 section 4.2.3).

    It is UNKNOWN_AGE if the entry was received after `now` (the clock was set back since), or at time 0,
    which stands for an unknown time. `now` is in seconds since the epoch.
    """
    if not 0 < entry.response_time <= now + CLOCK_TOLERANCE:
        return UNKNOWN_AGE
    date = date_of(entry.headers, "date")
    apparent = 0.0 if date is None else max(0.0, entry.response_time - date)
    # The first member of a list counts, an invalid one is ignored (RFC 9111 section 5.1).
    stated = split_list(entry.headers.get("age") or "")
    age = (delta_seconds(stated[0]) if stated else None) or 0
    corrected = age + max(0.0, entry.response_time - entry.request_time)
    return max(apparent, corrected) + max(0.0, now - entry.response_time)


def freshness_lifetime(
    head: Head, policy: Policy, ttl: float | None = None, received: float | None = None
) -> float:
    """Seconds for which the response is fresh, counted from its Date (RFC 9111 section 4.2.1).

    Negative if it had expired before it was sent. `ttl` (seconds) is the lifetime that a request asks for:
    it replaces that of a 200 or 206, but can only shorten that of a response which must not be used stale.
    `received` (epoch seconds) stands in for a missing Date. A redirect to a signed address lasts as long as
    that at most, whatever says otherwise.
    """
    stated = _stated_lifetime(head, policy, received)
    if (end := redirect_end(head)) is not None:
        date = date_of(head.headers, "date")
        return min(stated, end - (date if date is not None else received or end))
    if ttl is None or head.status not in (200, 206):
        return stated
    return min(stated, ttl) if directives_of(head, policy).never_stale else ttl


def _stated_lifetime(head: Head, policy: Policy, received: float | None) -> float:
    """The lifetime by the operator's rule, else by the response itself."""
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
    """A tenth of the time since the last modification, a week at most (RFC 9111 section 4.2.2)."""
    modified = date_of(headers, "last-modified")
    if modified is None or date is None:
        return 0.0
    return min(max(0.0, date - modified) * _HEURISTIC_SHARE, _HEURISTIC_CAP)


def entry_lifetime(entry: Entry, policy: Policy, ttl: float | None = None) -> float:
    """The freshness lifetime (seconds) of an entry for a request with this `ttl` (None: without one).

    Among requests with a ttl, the shortest since the entry was received counts.
    """
    if ttl is not None and entry.ttl is not None:
        ttl = min(ttl, entry.ttl)
    return freshness_lifetime(entry.head, policy, ttl, entry.response_time)


def remaining_lifetime(entry: Entry, policy: Policy, now: float, ttl: float | None = None) -> float:
    """Seconds of freshness that are left to the entry at `now` (epoch seconds); not positive once stale.

    `ttl` is that of the request, as for entry_lifetime.
    """
    lifetime, age = entry_lifetime(entry, policy, ttl), current_age(entry, now)
    left = lifetime - age
    if policy.longest is None:
        return left
    if 0 < entry.used <= now + CLOCK_TOLERANCE:
        left = max(left, lifetime - max(0.0, now - entry.used))
    return min(left, max(policy.longest, lifetime) - age)


def request_accepts(asked: RequestDirectives, age: float, left: float, may_be_stale: bool) -> bool:
    """Whether the request's directives allow an entry of this age, with this much freshness left.

    Both in seconds; `left` is 0 or negative for a stale entry. RFC 9111 section 5.2.1.
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
    """Whether the entry may stand in for a failing origin (RFC 9111 section 4.2.4, RFC 5861).

    How stale it may be is said by the policy, else by the response; the request may allow more. If none
    of them sets a limit, there is none.
    """
    directives = directives_of(entry.head, policy)
    left = remaining_lifetime(entry, policy, now)
    if directives.never_stale and (left <= 0 or directives.must_validate):
        return False
    allowed = directives.stale_if_error if policy.stale_if_error is None else policy.stale_if_error
    limits = [n for n in (allowed, asked.stale_if_error if asked else None) if n is not None]
    return not limits or -left <= max(limits)
