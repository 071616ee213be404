"""The operator's rules: items of `rules:` in the form that rules.decide uses."""

from __future__ import annotations

from pyproxycache.configuration.notation import status_codes
from pyproxycache.options import RuleOptions
from pyproxycache.rules.cache_key import QueryMode
from pyproxycache.rules.policy import Match, Policy, Rule


def rule_of(options: RuleOptions) -> Rule:
    """The rule in the form that rules.decide uses; a single status ("404") wins over its class ("4xx")."""
    match = options.match
    codes = frozenset(code for status in match.status for code in status_codes(status))
    by_status: dict[int | None, float] = {}
    ages = options.fresh if isinstance(options.fresh, tuple) else ()
    for status, age in sorted(ages, key=lambda item: item[0].isdigit()):
        by_status.update({None: age} if status == "any" else dict.fromkeys(status_codes(status), age))
    return Rule(
        match=Match(None, match.host, match.path, codes or None, match.content_type),
        policy=Policy(
            fresh=None if isinstance(options.fresh, tuple) else options.fresh,
            stale_if_error=options.stale_if_error,
            stale_while_revalidate=options.stale_while_revalidate,
            ignore=frozenset(options.ignore),
            no_store=options.no_store,
            store_cookies=options.store_cookies,
            silence=options.silence,
            query=QueryMode(options.query),
        ),
        fresh_by_status=tuple(by_status.items()),
    )
