"""The rules for the answers of a route."""

from __future__ import annotations

import re
from dataclasses import replace

from pyproxycache.route_options.caching import RouteCacheOptions
from pyproxycache.rules.cache_key import QueryMode
from pyproxycache.rules.policy import Match, Policies, Policy, Rule
from pyproxycache.rules.storing import CREDENTIALS

_IGNORED = frozenset({"cache-control", "expires", "pragma", "set-cookie"})
_ERRORS = frozenset(range(400, 600))
# It tells who listens what happens now; to others it would tell the past.
_EVENT_STREAM = re.compile(r"^\s*text/event-stream\s*(;|$)", re.IGNORECASE)


def route_policies(
    options: RouteCacheOptions,
    judged: frozenset[str],
    targets: tuple[str, ...],
    *,
    excluded: bool,
    by_host: bool = False,
    tokens: frozenset[str] = frozenset(),
) -> Policies:
    """The rules for all answers of a route.

    `judged` are the request fields that select its answers by what was found out about the client's
    credentials; without them the credentials themselves do. `targets` are the targeted fields that count
    where HTTP's rules do. `by_host`: the upstream sees which host the client has named. `tokens` are the
    request fields in which it gets what the route has checked: credentials, too, whatever they are called.
    """
    if excluded:
        return Policies((Rule(policy=Policy(no_store=True)),), defaults=False)
    query = QueryMode(options.key.query)
    named = frozenset(options.key.headers or ())
    host = frozenset({"host"}) if by_host else frozenset()
    if options.ttl is None:
        # Of Authorization itself HTTP says whose answers are for all.
        unknown = frozenset() if options.key.headers is not None else tokens - {"authorization"}
        varies = named | (judged or unknown) | host
        policy = Policy(
            stale_if_error=options.stale_if_error, query=query, varies=varies, codings_vary=True
        )
        return Policies((Rule(policy=policy),), targets, defaults=False)
    selecting = named if options.key.headers is not None else judged or CREDENTIALS | tokens
    policy = Policy(
        fresh=options.ttl,
        stale_if_error=options.stale_if_error,
        ignore=_IGNORED,
        respected=frozenset(options.respect),
        query=query,
        varies=selecting | judged | host,
        codings_vary=True,  # what was made for no cache may look at Accept-Encoding, and not say so
        settled=CREDENTIALS,
        longest=options.longest if options.sliding else None,
    )
    if options.ttl_error is None:
        of_errors = Policy(no_store=True)
    else:
        of_errors = replace(policy, fresh=options.ttl_error, stale_if_error=None, longest=None)
    rules = (
        Rule(Match(content_type=_EVENT_STREAM), Policy(no_store=True)),
        Rule(Match(status=_ERRORS), of_errors),
        Rule(policy=policy),
    )
    return Policies(rules, defaults=False)
