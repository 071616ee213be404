"""Which requests go through, as what, and what the others are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pyproxycache.errors import BadRequest, Forbidden, TokenCheckFailed, TokenRefused
from pyproxycache.gates.introspection.token_findings import AdmittedRequest, RefusedRequest, TokenFindings
from pyproxycache.gates.introspection.token_gate import TokenGate
from pyproxycache.messages import Headers, Request
from pyproxycache.route_options.introspection import (
    BEARER,
    EndpointOptions,
    IntrospectOptions,
    PassOnOptions,
    TokenPlace,
)
from pyproxycache.steps import Steps, at_once, finished
from pyproxycache.url import Url

BODIES: dict[str, Mapping[str, Any]] = {
    "me": {"sub": "me", "scope": "read write", "exp": 5},
    "listed": {"scope": ["read", 5, "write"]},
    "scp": {"scp": ["read"], "scope": "write"},
    "none": {},
    "odd": {"scope": 5, "scp": {"read": 1}},
}


class Known:
    """Finds out of tokens what BODIES says."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def findings(self, token: str) -> Steps[TokenFindings]:
        return at_once(lambda: self._of(token))

    def _of(self, token: str) -> TokenFindings:
        self.asked.append(token)
        if token == "down":
            raise TokenCheckFailed("idp.test cannot be asked")
        if token not in BODIES:
            return TokenFindings(why_invalid="the token is not valid")
        return TokenFindings(BODIES[token])


def checked(request: Request, **options: Any) -> AdmittedRequest | RefusedRequest:
    given = IntrospectOptions(endpoint=EndpointOptions(url="https://idp.test/"), **options)
    return finished(TokenGate(given, Known()).checked(request))


def request(*fields: tuple[str, str], target: str = "/a") -> Request:
    return Request("GET", Url("http", "api.test", 80, target), Headers(fields))


def of(token: str) -> Request:
    return request(("Authorization", f"Bearer {token}"), ("X-Token", "forged"))


def challenge(refused: AdmittedRequest | RefusedRequest) -> tuple[type[Exception], int, str]:
    assert isinstance(refused, RefusedRequest)
    ((name, value),) = refused.error.headers
    assert name == "WWW-Authenticate"
    return type(refused.error), refused.error.status, value


def test_a_valid_token_goes_on_with_the_request() -> None:
    admitted = checked(of("me"))
    assert admitted == AdmittedRequest(of("me"), BODIES["me"])


def test_the_body_is_passed_on_in_a_field() -> None:
    admitted = checked(of("me"), pass_on=PassOnOptions(header="x-token", form="json", only=("sub",)))
    assert isinstance(admitted, AdmittedRequest)
    assert admitted.request.headers == Headers(
        [("Authorization", "Bearer me"), ("x-token", '{"sub":"me"}')]
    )
    assert admitted.body == BODIES["me"]


def test_the_upstream_need_not_get_the_token() -> None:
    places = (BEARER, TokenPlace("query", "t"))
    asked = request(("Authorization", "Bearer me"), ("Accept", "x"), target="/a?t=other&b=1")
    admitted = checked(asked, token=places, forward_token=False)
    assert isinstance(admitted, AdmittedRequest)
    assert admitted.request == request(("Accept", "x"), target="/a?b=1")


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (request(), (TokenRefused, 401, 'Bearer realm="api"')),
        (request(("Authorization", "Basic bWU6")), (TokenRefused, 401, 'Bearer realm="api"')),
        (
            of("bad"),
            (
                TokenRefused,
                401,
                'Bearer realm="api", error="invalid_token", error_description="the token is not valid"',
            ),
        ),
        (
            of("a b"),
            (
                TokenRefused,
                401,
                'Bearer realm="api", error="invalid_token", '
                'error_description="the token has characters that no token has, or too many"',
            ),
        ),
        (
            request(("Authorization", "Bearer a"), ("Authorization", "Bearer b")),
            (
                BadRequest,
                400,
                'Bearer realm="api", error="invalid_request", '
                'error_description="the request has several tokens, of which one is to be sent"',
            ),
        ),
    ],
)
def test_without_a_valid_token_clients_are_told_why(
    asked: Request, refused: tuple[type[Exception], int, str]
) -> None:
    assert challenge(checked(asked)) == refused


@pytest.mark.parametrize(
    ("token", "scope", "goes_through"),
    [
        ("me", ("read",), True),
        ("me", ("read", "write"), True),
        ("me", ("read", "admin"), False),
        ("me", ("rea",), False),
        ("listed", ("write", "read"), True),
        ("scp", ("write", "read"), True),
        ("none", ("read",), False),
        ("odd", ("read",), False),
    ],
)
def test_a_token_needs_all_of_the_scope(token: str, scope: tuple[str, ...], goes_through: bool) -> None:
    found = checked(of(token), scope=scope)
    if goes_through:
        assert isinstance(found, AdmittedRequest)
    else:
        names = " ".join(scope)
        assert challenge(found) == (
            Forbidden,
            403,
            f'Bearer realm="api", scope="{names}", error="insufficient_scope", '
            'error_description="the token\'s scope does not reach as far"',
        )


def test_the_realm_is_quoted() -> None:
    _kind, _status, told = challenge(checked(request(), realm='my "api" \\o/', scope=("a", "b")))
    assert told == r'Bearer realm="my \"api\" \\o/", scope="a b"'


@pytest.mark.parametrize(
    ("token", "options"),
    [("down", {}), ("me", {"pass_on": PassOnOptions(header="x-token", max_size=5)})],
)
def test_what_cannot_be_checked_does_not_go_through(token: str, options: dict[str, Any]) -> None:
    found = checked(of(token), **options)
    assert isinstance(found, RefusedRequest)
    assert found.error.status == 503
    assert "idp.test" not in found.error.public


def test_a_token_that_cannot_be_one_is_not_asked_for() -> None:
    known = Known()
    options = IntrospectOptions(endpoint=EndpointOptions(url="https://idp.test/"))
    gate = TokenGate(options, known)
    for asked in (of("a b"), of("x" * 20_000), of("\xff"), request()):
        assert isinstance(finished(gate.checked(asked)), RefusedRequest)
    assert known.asked == []


def test_a_request_that_goes_through_does_not_show_the_body() -> None:
    assert "s3cret" not in repr(AdmittedRequest(request(), {"sub": "s3cret"}))
