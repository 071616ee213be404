"""Structured fields: text to values, and back without loss."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from http_sf import DisplayString
from hypothesis import given
from hypothesis import strategies as st
from structured_text import written

from pyproxycache.rules.structured import Member, Token, parse_dictionary, parse_list


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("", {}),
        ("a", {"a": (True, {})}),
        ("a=1, b=?0;x;y=2", {"a": (1, {}), "b": (False, {"x": True, "y": 2})}),
        ("a=1,\tb=-2.5", {"a": (1, {}), "b": (Decimal("-2.5"), {})}),
        ("a=1, a=2", {"a": (2, {})}),
        ('*k_1.-="a \\"b\\\\"', {"*k_1.-": ('a "b\\', {})}),
        ("a=tok/en:1", {"a": (Token("tok/en:1"), {})}),
        ("a=:aGk=:", {"a": (b"hi", {})}),
        ('a=("b" c;d);e', {"a": ([("b", {}), (Token("c"), {"d": True})], {"e": True})}),
        ('a=%"h%c3%a9"', {"a": (DisplayString("hé"), {})}),
    ],
)
def test_dictionaries(text: str, members: Mapping[str, Member]) -> None:
    assert parse_dictionary(text) == members


@pytest.mark.parametrize(
    "text",
    [
        "A=1",
        "a=1,",
        ", a",
        "a=",
        "a =1",
        "a= 1",
        "a b",
        "1a",
        "a=1 b=2",
        'a="',
        'a="\t"',
        "a='b'",
        'a="é"',
        "a=:=:",
        "a=(b",
        "a=1234567890123456",
        "a=1.2345",
        "max-age=1, &&&",
        "a\x00",
        "\x00" * 100,
        "é=1",
        ", ".join(["a"] * 40_000),
    ],
)
def test_what_is_no_dictionary(text: str) -> None:
    assert parse_dictionary(text) is None


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("", []),
        ('"a", b;c=1', [("a", {}), (Token("b"), {"c": 1})]),
        ("(1 2), ?1", [([(1, {}), (2, {})], {}), (True, {})]),
        ("a,", None),
        ("a b", None),
    ],
)
def test_lists(text: str, members: Sequence[Member] | None) -> None:
    assert parse_list(text) == members


def test_a_string_is_no_token() -> None:
    assert [type(value) for value, _parameters in parse_list('a, "a"') or ()] == [Token, str]


KEYS = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,5}", fullmatch=True)
TOKENS = st.from_regex(r"[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]{0,5}", fullmatch=True).map(Token)
STRINGS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E))
NUMBERS = st.integers(-(10**15) + 1, 10**15 - 1) | st.decimals(-1000, 1000, places=3)
BARE = st.booleans() | STRINGS | TOKENS | NUMBERS | st.binary()
PARAMETERS = st.dictionaries(KEYS, BARE, max_size=3)
ITEMS = st.tuples(BARE, PARAMETERS)
MEMBERS = ITEMS | st.tuples(st.lists(ITEMS, max_size=3), PARAMETERS)


# The text is compared as well, because a Token equals a str.
@given(st.lists(MEMBERS, max_size=5))
def test_a_list_comes_back(members: Sequence[Member]) -> None:
    text = written(members)
    parsed = parse_list(text)
    assert parsed == members
    assert written(parsed) == text


@given(st.dictionaries(KEYS, MEMBERS, max_size=5))
def test_a_dictionary_comes_back(members: Mapping[str, Member]) -> None:
    text = written(members)
    parsed = parse_dictionary(text)
    assert parsed == members
    assert written(parsed) == text


# Of each kind of field that is read or written here, by the document that defines it.
FIELDS = [
    pytest.param(
        "CDN-Cache-Control",
        'max-age=600, no-cache="set-cookie, x", must-revalidate, foo=bar;x',
        id="RFC 9213",
    ),
    pytest.param("No-Vary-Search", 'key-order, except=("%C3%A9+1" "id")', id="No-Vary-Search"),
    pytest.param("Cache-Groups", '"scripts", "the \\"other\\" one";x=1', id="RFC 9875"),
    pytest.param("Cache-Group-Invalidation", '"eurovision-results"', id="RFC 9875 section 3"),
    pytest.param("Repr-Digest", f"sha-256=:{'A' * 43}=:, sha-512=:{'B' * 85}A==:", id="RFC 9530"),
    pytest.param("Content-Digest", f"sha-256=:{'A' * 43}=:", id="RFC 9530 section 2"),
    pytest.param(
        "Cache-Status",
        'a;hit;ttl=-412, "b c";fwd=uri-miss;fwd-status=304;stored;collapsed;key="http://a/b?c";detail=x',
        id="RFC 9211",
    ),
    pytest.param(
        "Proxy-Status",
        'proxy;error=http_response_incomplete;received-status=200;details="the \\"body\\" ended"',
        id="RFC 9209",
    ),
]
DICTIONARIES = {"CDN-Cache-Control", "No-Vary-Search", "Repr-Digest", "Content-Digest"}


def again(name: str, text: str) -> tuple[Any, str | None]:
    """What the field says, and its text made anew."""
    members = parse_dictionary(text) if name in DICTIONARIES else parse_list(text)
    return members, None if members is None else written(members)


@pytest.mark.parametrize(("name", "text"), FIELDS)
def test_every_field_is_stable(name: str, text: str) -> None:
    parsed, anew = again(name, text)
    assert parsed
    assert anew == text


# Pieces that make up such fields and nearly such fields.
PIECES = st.sampled_from(
    ("a", "hit", "max-age", "except", "sha-256", "=", ";", ",", ", ", " ", "(", ")", '"', "\\", "?1", "?0")
) | st.sampled_from((":", "aGk=", "1", "-5", ".5", "9999999999999999", "*", "A", "é", "\t", "@1", '%"%c3"'))
NEARLY = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=20)


@given(st.sampled_from(sorted(DICTIONARIES | {"Cache-Status"})), NEARLY)
def test_any_text_is_refused_or_stable(name: str, text: str) -> None:
    parsed, anew = again(name, text)
    if anew is not None:
        assert again(name, anew) == (parsed, anew)
