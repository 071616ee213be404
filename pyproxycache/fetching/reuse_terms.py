"""Makes the terms on which memory may give an answer again: until when, and while what is unchanged."""

from __future__ import annotations

from dataclasses import replace

from pyproxycache import clock
from pyproxycache.messages import Entry, Request
from pyproxycache.response import ReuseTerms
from pyproxycache.rules import reuse
from pyproxycache.rules.freshness import CLOCK_TOLERANCE, current_age
from pyproxycache.rules.policy import UrlRules
from pyproxycache.store.values import Stamp


def reuse_terms_of(
    request: Request, entry: Entry, rules: UrlRules, stamp: Stamp, varies: tuple[str, ...]
) -> ReuseTerms:
    """The terms for giving the answer made of this entry to equal requests, for as long as it is fresh.

    The stamp is from before the key was looked up; `varies` are the fields that select among what it has.
    """
    now = clock.wall()
    policy, age = rules.for_entry(entry), current_age(entry, now)
    slide = last = 0.0
    if policy.longest is not None and policy.fresh is not None:
        entry = replace(entry, used=now)
        slide, last = policy.fresh, now + max(policy.longest, policy.fresh) - age
    return ReuseTerms(
        entry,
        stamp.slot,
        stamp.version,
        since=now - CLOCK_TOLERANCE,
        until=reuse.good_until(request, entry, rules, now),
        born=now - age,
        expires=now + reuse.freshness_left(request, entry, rules, now),
        varies=varies,
        slide=slide,
        last=last,
    )
