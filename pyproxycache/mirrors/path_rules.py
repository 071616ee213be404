"""An ecosystem's rules for the paths where its packages are, as rules of HTTP caching."""

from __future__ import annotations

import re

from pyproxycache.mirrors.ecosystem import PathRule
from pyproxycache.mirrors.repositories import Repository
from pyproxycache.rules.grammar import REDIRECTS
from pyproxycache.rules.policy import Match, Policy, Rule

_ABSENT_FOR = 60.0  # seconds
_SUCCESS = frozenset({200})


def rules_of(repository: Repository) -> tuple[Rule, ...]:
    """The rules for the URLs of this place, and for what it has not got; other errors are HTTP's."""
    absent = repository.ecosystem.absent
    found: list[Rule] = []
    for one in repository.ecosystem.rules:
        found.append(_rule(repository, one.path.pattern, _statuses(one), one.policy))
        if one.policy.varies:  # it may be there in another form
            policy = Policy(fresh=_ABSENT_FOR, varies=one.policy.varies)
            found.append(_rule(repository, one.path.pattern, absent, policy))
    return (*found, _rule(repository, "", absent, Policy(fresh=_ABSENT_FOR)))


def _rule(repository: Repository, path: str, statuses: frozenset[int] | None, policy: Policy) -> Rule:
    below = re.compile(rf"^{re.escape(repository.base)}/(?:{path})")
    return Rule(Match(repository.origin, path=below, status=statuses, hosts=repository.hosts), policy)


def _statuses(rule: PathRule) -> frozenset[int] | None:
    """The statuses of answers for which the rule's policy is; None: all."""
    if rule.policy.no_store:
        return None
    return _SUCCESS | REDIRECTS if rule.shows_redirects else _SUCCESS
