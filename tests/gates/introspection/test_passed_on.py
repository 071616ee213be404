"""The token's body as a header field."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.errors import TokenCheckFailed
from pyproxycache.gates.introspection.passed_on import PassedOn
from pyproxycache.messages import Headers
from pyproxycache.route_options.introspection import PassOnOptions

BODY = {"sub": "me", "exp": 5, "iat": 1, "scope": "a b", "name": "Zoë", "realm": {"b": 1, "a": [1, 2]}}


def passed(**options: Any) -> PassedOn:
    return PassedOn(PassOnOptions(header="x-token", **options))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, {"sub": "me", "scope": "a b", "name": "Zoë", "realm": {"b": 1, "a": [1, 2]}}),
        ({"without": ()}, BODY),
        ({"only": ("sub", "exp")}, {"sub": "me"}),
        ({"only": ("sub", "exp"), "without": ()}, {"sub": "me", "exp": 5}),
        ({"only": ()}, {}),
    ],
)
def test_some_members_are_left_out(options: dict[str, Any], told: dict[str, Any]) -> None:
    assert json.loads(passed(form="json", **options).value(BODY)) == told
    assert json.loads(b64decode(passed(form="base64", **options).value(BODY))) == told


def test_plain_json_is_short_and_in_ascii() -> None:
    assert passed(form="json").value({"b": "Zoë", "a": True}) == '{"a":true,"b":"Zo\\u00eb"}'


@pytest.mark.parametrize("name", ["X-Token", "x-token", "X_Token", "x_token", "X-TOKEN", "X.Token"])
def test_what_a_client_says_itself_is_removed(name: str) -> None:
    given_by_client = Headers([(name, "forged"), ("X-Tokens", "kept"), (name, "forged again")])
    headers = passed(form="json").headers(given_by_client, {"sub": "me"})
    assert headers == Headers([("X-Tokens", "kept"), ("x-token", '{"sub":"me"}')])


@pytest.mark.parametrize("form", ["json", "base64"])
def test_a_body_that_is_too_large_is_not_passed_on(form: str) -> None:
    one = passed(form=form, max_size=100)
    one.value({"a": "x" * 40})
    with pytest.raises(TokenCheckFailed, match="more than 100 bytes"):
        one.value({"a": "x" * 100})


def test_a_body_that_is_too_deep_is_not_passed_on() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TokenCheckFailed, match="as JSON"):
        passed().value({"a": deep})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
BODIES = st.dictionaries(st.sampled_from(["exp", "sub", "é", "\r\n", "x"]) | st.text(), JSON, max_size=5)


@given(BODIES, st.sampled_from(["json", "base64"]))
def test_every_body_is_one_line_that_says_the_same(body: dict[str, Any], form: str) -> None:
    value = passed(form=form, max_size=1 << 20, without=("exp",)).value(body)
    assert re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", value)
    told = json.loads(value if form == "json" else b64decode(value))
    assert told == {name: one for name, one in body.items() if name != "exp"}


@given(BODIES, st.randoms())
def test_the_order_of_members_makes_no_difference(body: dict[str, Any], random: Any) -> None:
    items = list(body.items())
    random.shuffle(items)
    one = passed(max_size=1 << 20)
    assert one.value(dict(items)) == one.value(body)
