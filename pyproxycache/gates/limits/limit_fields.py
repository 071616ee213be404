"""RateLimit and RateLimit-Policy: what answers tell of limits (draft-ietf-httpapi-ratelimit-headers-11)."""

from __future__ import annotations

from typing import Any

import http_sf

from pyproxycache.gates.limits.limit_rule import SECOND, LimitRule


def policy_item(name: str, rule: LimitRule) -> str:
    """The limit in RateLimit-Policy: how many requests in how many seconds."""
    parameters: dict[str, Any] = {"q": rule.count, "w": whole_seconds(rule.per)}
    return http_sf.ser([(name, parameters)])


def quoted(name: str) -> str:
    """The limit's name as a string in structured fields."""
    return http_sf.ser(name)


def limit_item(quoted_name: str, left: int, reset: int) -> str:
    """The limit in RateLimit: how many requests are left, and in how long there are more (microseconds)."""
    return f"{quoted_name};r={left};t={whole_seconds(reset)}"


def whole_seconds(microseconds: int) -> int:
    """The time in whole seconds, rounded up."""
    return -(-microseconds // SECOND)
