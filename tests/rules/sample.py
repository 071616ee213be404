"""Messages for the tables: field lines as text, times relative to NOW."""

from __future__ import annotations

import pytest

from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.rules.cache_control import ResponseDirectives
from pyproxycache.rules.grammar import format_http_date
from pyproxycache.rules.policy import Policies, Policy, Rule, UrlRules
from pyproxycache.rules.urls import parse_url

NOW = 1_800_000_000.0
URL = parse_url("http://origin.example/pool/a.deb")
DAY = 86400.0

EACH_DIRECTIVE = [
    pytest.param(
        "no-store, no-cache, private, public, must-revalidate, proxy-revalidate, must-understand,"
        " no-transform, immutable",
        ResponseDirectives(
            no_store=True,
            no_cache=True,
            private=True,
            public=True,
            must_revalidate=True,
            proxy_revalidate=True,
            must_understand=True,
            no_transform=True,
            immutable=True,
        ),
        id="all-flags",
    ),
    pytest.param(
        "max-age=1, s-maxage=2, stale-if-error=3, stale-while-revalidate=4",
        ResponseDirectives(max_age=1, s_maxage=2, stale_if_error=3, stale_while_revalidate=4),
        id="all-times",
    ),
]
"""Rows of what a Cache-Control field says, in whichever syntax it is read: each directive once."""


def at(offset: float) -> str:
    """The HTTP date that many seconds from NOW."""
    return format_http_date(NOW + offset)


def fields(*lines: str) -> Headers:
    """Headers of "Name: value" lines."""
    return Headers((name, value.strip()) for name, _colon, value in (line.partition(":") for line in lines))


def head(*lines: str, status: int = 200, date: float | None = 0) -> Head:
    """A response head whose Date is that many seconds from NOW; without Date if None."""
    dated = lines if date is None else (f"Date: {at(date)}", *lines)
    return Head(status, "", fields(*dated))


def entry(
    *lines: str,
    status: int = 200,
    age: float = 0,
    vary: tuple[tuple[str, str | None], ...] = (),
    ttl: float | None = None,
) -> Entry:
    """A stored response that was made and received `age` seconds before NOW."""
    stored = head(*lines, status=status, date=-age)
    return Entry(str(URL), stored, NOW - age, NOW - age, vary=vary, ttl=ttl)


def get(*lines: str, method: str = "GET", ttl: float | None = None) -> Request:
    """A request with these field lines."""
    return Request(method, URL, fields(*lines), ttl=ttl)


def policies(policy: Policy) -> UrlRules:
    """This policy for everything."""
    return Policies((Rule(policy=policy),)).about(URL)
