"""What the challenges of registries and other origins want."""

from __future__ import annotations

import pytest

from pyproxycache.errors import BadRequest
from pyproxycache.messages import Head, Headers
from pyproxycache.rules.challenges import challenges, demanded
from pyproxycache.url import Url

HTTPS = Url("https", "registry.test", 443, "/")
HTTP = Url("http", "registry.test", 80, "/")


def head(*lines: str) -> Head:
    return Head(401, "", Headers([("WWW-Authenticate", line) for line in lines]))


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((), []),
        (('Basic realm="a, b"',), [("basic", {"realm": "a, b"})]),
        (
            ('Bearer realm="https://t.test/token",service="r",scope="repository:a/b:pull"',),
            [
                (
                    "bearer",
                    {"realm": "https://t.test/token", "service": "r", "scope": "repository:a/b:pull"},
                )
            ],
        ),
        (
            ('Negotiate, Basic realm=x, BEARER Realm="y"',),
            [("negotiate", {}), ("basic", {"realm": "x"}), ("bearer", {"realm": "y"})],
        ),
        (("Basic", 'Bearer realm="y"'), [("basic", {}), ("bearer", {"realm": "y"})]),
        (("Negotiate YWJj==, Basic",), [("negotiate", {}), ("basic", {})]),
        (('Bearer realm="a\\"b"',), [("bearer", {"realm": 'a"b'})]),
        (('realm="x"', "=", '"', 'Bearer realm="open'), [("bearer", {})]),
    ],
)
def test_challenges(lines: tuple[str, ...], found: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, dict(one.parameters)) for one in challenges(head(*lines))] == found


@pytest.mark.parametrize(
    ("line", "upstream", "wanted"),
    [
        ('Basic realm="x"', HTTPS, (True, None)),
        ("Negotiate", HTTPS, (False, None)),
        ('Bearer error="x"', HTTPS, (False, None)),
        (
            'Bearer realm="https://t.test/token?a=1",service="r s",scope="repository:a/b:pull x:y:z"',
            HTTPS,
            (False, "https://t.test/token?a=1&service=r+s&scope=repository%3Aa%2Fb%3Apull&scope=x%3Ay%3Az"),
        ),
        (
            'Bearer realm="https://t.test/token",service="r", Basic realm="x"',
            HTTP,
            (True, "https://t.test/token?service=r"),
        ),
        ('Bearer realm="http://t.test"', HTTP, (False, "http://t.test/")),
    ],
)
def test_what_is_wanted(line: str, upstream: Url, wanted: tuple[bool, str | None]) -> None:
    takes_basic, url = demanded(head(line), upstream)
    assert (takes_basic, None if url is None else str(url)) == wanted


@pytest.mark.parametrize(
    "realm", ["http://t.test/token", "/token", "ftp://t.test/", "https://me:pw@t.test/", "https://:x/", "x"]
)
def test_a_realm_that_cannot_be_used(realm: str) -> None:
    """Credentials for https are not sent without it, nor with those that another one has written."""
    with pytest.raises(BadRequest):
        demanded(head(f'Bearer realm="{realm}"'), HTTPS)


@pytest.mark.parametrize("text", ["," * 60_000, '"' * 60_001, "a " * 30_000, "a=" * 30_000, "\\" * 60_000])
def test_hostile_fields_end_soon(text: str) -> None:
    assert len(challenges(head(f"Bearer {text}"))) <= 1
