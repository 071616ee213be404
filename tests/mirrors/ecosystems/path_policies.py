"""What an ecosystem's rules say of paths below an upstream."""

from __future__ import annotations

from pyproxycache.mirrors.ecosystem import Ecosystem
from pyproxycache.mirrors.path_rules import rules_of
from pyproxycache.mirrors.repositories import repository_at
from pyproxycache.rules.policy import Policies
from pyproxycache.url import Url

_UPSTREAM = Url("https", "up.test", 443, "/base/")


def kept(ecosystem: Ecosystem, path: str, status: int = 200) -> str:
    """How a path's answer is kept: "immutable", "no store", for "60" seconds, or by HTTP's rules: ""."""
    policies = Policies(rules_of(repository_at(ecosystem, _UPSTREAM)), defaults=False)
    policy = policies.about(Url("https", "up.test", 443, f"/base/{path}")).for_response(status, "")
    if policy.immutable or policy.no_store:
        return "immutable" if policy.immutable else "no store"
    return "" if policy.fresh is None else f"{policy.fresh:.0f}"
