"""Where requests have their token, and what they are without it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.gates.introspection.token_places import (
    SeveralTokens,
    is_token,
    token_of,
    without_tokens,
)
from pyproxycache.messages import Headers, Request
from pyproxycache.route_options.introspection import BEARER, TokenPlace
from pyproxycache.url import Url

HEADER = TokenPlace("header", "x-access-token")
COOKIE = TokenPlace("cookie", "session")
QUERY = TokenPlace("query", "access_token")
EVERY = (BEARER, HEADER, COOKIE, QUERY)


def request(*fields: tuple[str, str], target: str = "/a") -> Request:
    return Request("GET", Url("http", "api.test", 80, target), Headers(fields))


@pytest.mark.parametrize(
    ("asked", "token"),
    [
        (request(), None),
        (request(("Authorization", "Bearer abc")), "abc"),
        (request(("authorization", "bEARER \t abc ")), "abc"),
        (request(("Authorization", "Bearer a b")), "a b"),
        (request(("Authorization", "Bearer")), None),
        (request(("Authorization", "Bearer ")), None),
        (request(("Authorization", "Basic abc")), None),
        (request(("Authorization", "BearerX abc")), None),
        (request(("Authorization", "Basic abc"), ("Authorization", "Bearer abc")), "abc"),
        (request(("Authorization", "Bearer abc"), ("Authorization", "Bearer abc")), "abc"),
        (request(("X-Access-Token", " abc ")), "abc"),
        (request(("X-Access-Token", "Bearer abc")), "Bearer abc"),
        (request(("Cookie", "a=1; session=abc; b=2")), "abc"),
        (request(("Cookie", 'session="abc"')), "abc"),
        (request(("Cookie", "xsession=abc; session=")), None),
        (request(("Cookie", "a=1"), ("Cookie", "session=abc=")), "abc="),
        (request(target="/a?access_token=abc"), "abc"),
        (request(target="/a?x=1&access%5Ftoken=a%2Bb+c"), "a+b c"),
        (request(target="/a?access_token"), None),
        (request(("Authorization", "Bearer first"), ("Cookie", "session=second")), "first"),
        (request(("Cookie", "session=first"), target="/?access_token=second"), "first"),
    ],
)
def test_the_token_is_the_first_that_is_in_a_place(asked: Request, token: str | None) -> None:
    assert token_of(asked.headers, asked.url.query, EVERY) == token


def test_only_the_places_that_are_named_count() -> None:
    asked = request(("Authorization", "Bearer abc"), ("Cookie", "session=other"))
    assert token_of(asked.headers, asked.url.query, (COOKIE, BEARER)) == "other"
    assert token_of(asked.headers, asked.url.query, (QUERY,)) is None


@pytest.mark.parametrize(
    "asked",
    [
        request(("Authorization", "Bearer a"), ("Authorization", "Bearer b")),
        request(("Cookie", "session=a; session=b")),
        request(target="/?access_token=a&access_token=b"),
        request(("X-Access-Token", "a"), ("X-Access-Token", "b")),
    ],
)
def test_several_tokens_in_one_place_are_none_to_rely_on(asked: Request) -> None:
    with pytest.raises(SeveralTokens):
        token_of(asked.headers, asked.url.query, EVERY)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("abc.DEF-1_2~3+4/5=", True),
        ("a b", False),
        ("", False),
        ("ä", False),
        ("a\r\nb", False),
        ("a\0", False),
        ("x" * 16384, True),
        ("x" * 16385, False),
    ],
)
def test_tokens_have_visible_ascii_characters(text: str, right: bool) -> None:
    assert is_token(text) is right


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (request(("Authorization", "Bearer a"), ("Accept", "b")), request(("Accept", "b"))),
        (request(("Authorization", "Basic a")), request(("Authorization", "Basic a"))),
        (request(("Cookie", "a=1; session=x; b=2")), request(("Cookie", "a=1; b=2"))),
        (request(("Cookie", "session=x")), request()),
        (request(("Cookie", "a=1;b=2")), request(("Cookie", "a=1;b=2"))),
        (request(target="/a?access_token=x&b=%41+1"), request(target="/a?b=%41+1")),
        (request(target="/a?access%5ftoken=x"), request(target="/a")),
        (request(target="/a?"), request(target="/a?")),
        (request(("X-Access-Token", "a"), ("x-access-token", "b")), request()),
    ],
)
def test_a_request_without_its_tokens_has_all_else(asked: Request, left: Request) -> None:
    assert without_tokens(asked, EVERY) == left


FIELDS = st.tuples(
    st.sampled_from(["Authorization", "authorization", "Cookie", "X-Access-Token", "Accept"]),
    st.text('aB =;"&%+Bearer session', max_size=20),
)
TARGETS = st.text("access_token=&%5F+ab", max_size=40).map(lambda query: f"/a?{query}")


@given(st.lists(FIELDS, max_size=4), TARGETS)
def test_nothing_that_can_be_read_as_a_token_is_left(fields: list[tuple[str, str]], target: str) -> None:
    left = without_tokens(request(*fields, target=target), EVERY)
    assert token_of(left.headers, left.url.query, EVERY) is None
    assert without_tokens(left, EVERY) == left
