"""What clients log in with, whatever the field is called: others do not get what it has brought."""

from __future__ import annotations

import pytest

from pyproxycache.messages import Head, Headers, Request
from pyproxycache.route_options.events import SECRET_FIELDS
from pyproxycache.rules.policy import Policy
from pyproxycache.rules.redirection import FOR_ONE_ORIGIN
from pyproxycache.rules.storing import CREDENTIALS, why_not_storable
from pyproxycache.rules.urls import parse_url

LOGINS = sorted({name.lower() for name in FOR_ONE_ORIGIN} - {"cookie"})


def why(name: str, cache_control: str, policy: Policy) -> str | None:
    request = Request("GET", parse_url("http://host.test/file"), Headers([(name, "s3cret")]))
    return why_not_storable(
        request, Head(200, "OK", Headers([("Cache-Control", cache_control)])), policy, 0.0
    )


@pytest.mark.parametrize("name", LOGINS)
@pytest.mark.parametrize(
    ("cache_control", "policy", "reason"),
    [
        ("max-age=60", Policy(), "authorization"),
        ("max-age=60", Policy(immutable=True), "authorization"),
        ("public, max-age=60", Policy(), None),
        ("s-maxage=60", Policy(), None),
        ("max-age=60", Policy(settled=CREDENTIALS), None),
    ],
)
def test_only_what_is_for_all_is_stored(
    name: str, cache_control: str, policy: Policy, reason: str | None
) -> None:
    assert why(name, cache_control, policy) == reason


def test_no_event_has_their_values() -> None:
    assert set(SECRET_FIELDS) > CREDENTIALS
