"""How rate limits are written in the configuration of routes.

Each function that reads takes plain YAML data, and raises ValueError, which names the value and what is
accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pyproxycache.configuration.refusals import refusal
from pyproxycache.route_options.limits import LimitedBy, RateLimitOptions
from pyproxycache.units import parse_age

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_KINDS = ("header", "cookie", "query", "token")
_NAME = re.compile(r"[ -~]{1,64}")
_DIGITS = re.compile(r"[0-9]{1,18}")
_MOST = 1_000_000
_LONGEST = 31 * 86400.0
_MOST_LIMITS = 16
_ACCEPTED = "client, or one of header, cookie, query and token with a name, as in {header: x-api-key}"


def read_limited_by(value: Any) -> LimitedBy:
    """What a limit counts by."""
    if value == "client":
        return LimitedBy("client")
    if not isinstance(value, dict) or len(value) != 1:
        raise refusal(value, _ACCEPTED)
    ((kind, name),) = value.items()
    if kind not in _KINDS or not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise refusal(value, _ACCEPTED)
    if kind in ("header", "cookie") and not _TOKEN.fullmatch(name):
        raise refusal(value, f"a {kind} by its name, as in {{{kind}: x-api-key}}")
    return LimitedBy(kind, name.lower() if kind == "header" else name)


def write_limited_by(by: LimitedBy) -> Any:
    """As it is written."""
    return by.kind if by.kind == "client" else {by.kind: by.name}


def read_limit_name(value: Any) -> str:
    """The name of a limit, which clients see in RateLimit."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise refusal(value, "a limit's name: up to 64 characters of printable ASCII, as in token")
    return value


def read_rate_count(value: Any) -> int:
    """How many requests."""
    count = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST:
        raise refusal(value, f"a count: a whole number from 1 to {_MOST}")
    return count


def read_rate_period(value: Any) -> float:
    """The time that a count is for."""
    age = parse_age(value) if isinstance(value, str) else value
    is_number = isinstance(age, int | float) and not isinstance(age, bool)
    if not is_number or not 1 <= age <= _LONGEST:
        raise refusal(value, "a period: an age from 1s to 31d, as in 1m")
    return float(age)


def limit_problems(limits: Mapping[str, RateLimitOptions]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with the limits of a route together: the place of each below them, and a text."""
    if len(limits) > _MOST_LIMITS:
        yield (), f"{len(limits)} limits are not accepted: up to {_MOST_LIMITS} of them"
    for name, limit in limits.items():
        if not limit.by:
            yield (name, "by"), "[] is not accepted: name what is counted by"
        if limit.burst is not None and limit.kind != "bucket":
            text = f"is accepted only with 'kind: bucket', not with {limit.kind!r}: leave it out"
            yield (name, "burst"), text
