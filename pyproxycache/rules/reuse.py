"""Whether a stored entry answers a request without the origin, and for how long (RFC 9111 section 4)."""

from __future__ import annotations

import math

from pyproxycache.messages import Entry, Request
from pyproxycache.outcome import Forward
from pyproxycache.rules.cache_control import RequestDirectives, request_directives
from pyproxycache.rules.decisions import Serve
from pyproxycache.rules.freshness import current_age, directives_of, remaining_lifetime, request_accepts
from pyproxycache.rules.policy import Policy, UrlRules
from pyproxycache.rules.validation import is_not_modified


def judge(
    request: Request, asked: RequestDirectives, entry: Entry, policy: Policy, now: float
) -> Serve | Forward:
    """Serve the entry, or the reason for asking the origin; `now` is in seconds since the epoch."""
    directives = directives_of(entry.head, policy)
    age, left = current_age(entry, now), _left(request, entry, policy, now)
    ttl = math.floor(left)
    if policy.at_any_age:
        return Serve(entry, age, ttl, stale=left <= 0)
    if directives.must_validate:
        return Forward.STALE
    if policy.fresh is not None and left > 0:
        # The operator's lifetime holds for all clients, also those that ask to reload.
        return Serve(entry, age, ttl, stale=False)
    if policy.immutable and left > 0 and not asked.no_cache:
        return Serve(entry, age, ttl, stale=False)
    if request_accepts(asked, age, left, may_be_stale=not directives.never_stale):
        return Serve(entry, age, ttl, stale=left <= 0)
    if left > 0:
        return Forward.REQUEST
    window = policy.stale_while_revalidate
    if window is None:
        window = directives.stale_while_revalidate
    if window is not None and -left <= window and not directives.never_stale and _allows_stale(asked):
        return Serve(entry, age, ttl, stale=True, refresh=True)
    return Forward.STALE


def _allows_stale(asked: RequestDirectives) -> bool:
    """Whether the request sets no limit of its own to staleness (RFC 9111 section 5.2.1)."""
    return not asked.no_cache and asked.max_age is None and asked.min_fresh is None


def is_usable(request: Request, entry: Entry, rules: UrlRules, now: float) -> bool:
    """Whether the entry may answer the request without asking the origin (RFC 9111 section 4)."""
    policy = rules.for_entry(entry)
    return isinstance(judge(request, request_directives(request.headers), entry, policy, now), Serve)


def good_until(request: Request, entry: Entry, rules: UrlRules, now: float) -> float:
    """The time (epoch seconds) until which the fresh entry answers this request in the same way.

    It is `now` if the time may change the answer in another way than by its age.
    """
    policy = rules.for_entry(entry)
    asked = request_directives(request.headers)
    left, age = _left(request, entry, policy, now), current_age(entry, now)
    until = now + left
    if policy.fresh is None and not policy.immutable:
        if asked.max_age is not None:
            until = min(until, now + asked.max_age - age)
        if asked.min_fresh is not None:
            until -= asked.min_fresh
    last = until if policy.longest is None else max(until, now + policy.longest - age)
    same = is_not_modified(request.headers, entry.head, now) == is_not_modified(
        request.headers, entry.head, last
    )
    return until if same else now


def time_to_live(request: Request, entry: Entry, rules: UrlRules, now: float) -> int:
    """Whole seconds for which the entry is fresh to this request; negative once it is stale."""
    return math.floor(freshness_left(request, entry, rules, now))


def freshness_left(request: Request, entry: Entry, rules: UrlRules, now: float) -> float:
    """Seconds for which the entry is fresh to this request; not positive once it is stale."""
    return _left(request, entry, rules.for_entry(entry), now)


def _left(request: Request, entry: Entry, policy: Policy, now: float) -> float:
    """Seconds of freshness that are left to the entry."""
    return remaining_lifetime(entry, policy, now, request.ttl)
