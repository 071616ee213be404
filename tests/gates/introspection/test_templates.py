"""Tokens put into texts stay one value there, whatever they are made of."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.gates.introspection.templates import ENCODINGS, as_it_is, in_url, token_text

TOKENS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)


@given(TOKENS)
def test_in_a_form_it_is_one_value(token: str) -> None:
    made = token_text("a=1&token={token}&hint=x", ENCODINGS["application/x-www-form-urlencoded"]).made(
        token
    )
    assert parse_qsl(made, keep_blank_values=True, strict_parsing=True) == [
        ("a", "1"),
        ("token", token),
        ("hint", "x"),
    ]


@given(TOKENS)
def test_in_json_it_is_one_value(token: str) -> None:
    made = token_text('{"token":"{token}","a":1}', ENCODINGS["application/json"]).made(token)
    assert json.loads(made) == {"token": token, "a": 1}


@given(TOKENS)
def test_in_a_url_it_is_one_segment_or_one_value(token: str) -> None:
    made = urlsplit(token_text("https://idp.test/{token}/x?t={token}", in_url).made(token))
    assert (made.hostname, made.path.count("/"), made.fragment) == ("idp.test", 2, "")
    assert parse_qs(made.query, strict_parsing=True) == {"t": [token]}


@given(TOKENS)
def test_alone_it_is_itself(token: str) -> None:
    assert token_text("{token}", ENCODINGS["text/plain"]).made(token) == token


def test_what_a_secret_has_is_no_place_for_a_token() -> None:
    made = token_text("S{token}", as_it_is, lambda text: text.replace("S", "{token}"))
    assert made.made("x") == "{token}x"


@pytest.mark.parametrize("encode", ENCODINGS.values())
def test_secrets_are_not_shown(encode: object) -> None:
    assert "s3cret" not in repr(token_text("s3cret{token}", encode))  # type: ignore[arg-type]
