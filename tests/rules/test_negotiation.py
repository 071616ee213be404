"""Selecting fields: which values mean the same."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.rules.negotiation import canonical


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        # Any field.
        ("foo", "", ""),
        ("foo", "1,2", "1, 2"),
        ("foo", " 1\t, 2 ", "1, 2"),
        ("foo", "2, 1", "2, 1"),
        ("foo", "A, a", "A, a"),
        ("foo", "1, 1", "1, 1"),
        ("foo", "1,,2", "1, , 2"),
        ("foo", "a  b", "a  b"),
        ("foo", '"a , b" , c', '"a , b", c'),
        ("foo", r'"a\" , b",c', r'"a\" , b", c'),
        ("foo", '"a ,b', '"a ,b'),
        # One value, whatever is in it.
        ("cookie", " a=1;b=x,y ", "a=1;b=x,y"),
        ("cookie", "b; a", "b; a"),
        ("user-agent", "x (KHTML,like  Gecko) ", "x (KHTML,like  Gecko)"),
        # Accept-Language.
        ("accept-language", "", ""),
        ("accept-language", "en, de", "de, en"),
        ("accept-language", "DE , eN", "de, en"),
        ("accept-language", "fr;q=0.5, de;q=1.0", "de, fr;q=0.5"),
        ("accept-language", "de ;\tQ=1.000,fr;q=0.500,*;q=0.", "de, fr;q=0.5, *;q=0"),
        ("accept-language", "en, en", "en"),
        ("accept-language", "en, en;q=0.5", "en, en;q=0.5"),
        ("accept-language", ",en,,de,", "de, en"),
        ("accept-language", "zh-Hant-TW", "zh-hant-tw"),
        ("accept-language", "EN,  DE;q=2", "EN, DE;q=2"),
        ("accept-language", "EN, DE;q=0.1234", "EN, DE;q=0.1234"),
        ("accept-language", "EN, DE;q=1;q=1", "EN, DE;q=1;q=1"),
        ("accept-language", "EN, DE;level=1", "EN, DE;level=1"),
        ("accept-language", "EN, de_DE", "EN, de_DE"),
        ("accept-language", "EN, abcdefghi", "EN, abcdefghi"),
        # Accept-Encoding and Accept-Charset.
        ("accept-encoding", "GZip , br;q=0.9", "gzip, br;q=0.9"),
        ("accept-encoding", "x-gzip, X-Compress;q=0", "gzip, compress;q=0"),
        ("accept-encoding", "gzip, x-gzip", "gzip"),
        ("accept-encoding", "identity;q=0, *;q=0.001", "*;q=0.001, identity;q=0"),
        ("accept-encoding", 'GZIP, "br"', 'GZIP, "br"'),
        ("accept-charset", "UTF-8,x-gzip;q=.5", "UTF-8, x-gzip;q=.5"),
        ("accept-charset", "UTF-8,x-gzip;q=0.5", "utf-8, x-gzip;q=0.5"),
        # Accept.
        ("accept", "Text/HTML, */*;q=0.8", "text/html, */*;q=0.8"),
        ("accept", "text/html;Level=A;q=1", "text/html;level=A"),
        ("accept", "text/html;q=0.5;level=A", "text/html;level=A;q=0.5"),
        ("accept", "text/html ; ; level=1", "text/html;level=1"),
        ("accept", "text/html;a=1;b=2, text/html;b=2;a=1", "text/html;a=1;b=2, text/html;b=2;a=1"),
        ("accept", 'text/html;a="B, c;q=1"', 'text/html;a="B, c;q=1"'),
        ("accept", "TEXT/html;q", "TEXT/html;q"),
        ("accept", "TEXT/html;a", "TEXT/html;a"),
        ("accept", "TEXT/html, html", "TEXT/html, html"),
        ("accept", 'TEXT/html;a="', 'TEXT/html;a="'),
    ],
)
def test_canonical(name: str, value: str, text: str) -> None:
    assert canonical(name, value) == text


NAMES = st.sampled_from(
    ("accept", "accept-charset", "accept-encoding", "accept-language", "cookie", "user-agent", "foo")
)
PIECES = st.sampled_from(
    ("gzip", "x-gzip", "EN", "en-GB", "text/html", "*", "/", ";", ",", ", ", " ", "\t", "q=", "Q=", "0.5")
) | st.sampled_from(("1", "1.0", "level=1", "a=", '"', "\\", '"a, b"', "é", "=", "a"))
VALUES = st.lists(PIECES, max_size=10).map("".join) | st.text(max_size=20)


@given(NAMES, VALUES)
def test_the_canonical_form_is_its_own(name: str, value: str) -> None:
    text = canonical(name, value)
    assert canonical(name, text) == text


@given(NAMES, VALUES)
def test_white_space_around_never_counts(name: str, value: str) -> None:
    assert canonical(name, f" \t{value} ") == canonical(name, value)


def model(value: str) -> dict[str, set[float]]:
    """What a list of preferences means: each name with its weights; written for this test alone."""
    meant: dict[str, set[float]] = {}
    for member in filter(None, value.lower().replace(" ", "").split(",")):
        name, _semicolon, weight = member.partition(";q=")
        meant.setdefault(name.replace("x-gzip", "gzip"), set()).add(float(weight or 1))
    return meant


MEMBERS = st.builds(
    "{}{}".format,
    st.sampled_from(("gzip", "x-gzip", "GZIP", "br", "*", " br ")),
    st.sampled_from(("", ";q=1", "; q=1.0", ";q=0.5", ";q=0.500", ";q=0", "; q=0.0", ";q=0.05")),
)
LISTS = st.lists(MEMBERS, max_size=3).map(",".join)


@given(LISTS, LISTS)
def test_equal_exactly_where_the_meaning_is(one: str, other: str) -> None:
    same = canonical("accept-encoding", one) == canonical("accept-encoding", other)
    assert same is (model(one) == model(other))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "accept",
            ["a/b", "a/c", "a/b;x=1", "a/b;x=2", "a/b;X=Y", "a/b;x=y", "a/*", "", "a/b;q=0", "a/B;x"],
        ),
        (
            "accept-language",
            ["en", "en-gb", "en;q=0", "en;q=0.1", "en, de", "", "*", "en_gb", "en, de;q=0.1"],
        ),
        ("accept-charset", ["utf-8", "utf8", "*", "", "utf-8;q=0.2", "utf-8;q=0.20;x"]),
        ("foo", ["1", "2, 1", "1, 2", "1 2", '"1, 2"', '"1,2"', "1,", "", "A", "a", "1;q=1", "1;q=1.0"]),
        ("cookie", ["a", "b", "a; b", "b; a", "a;b", "a,b", "a, b", "A", ""]),
    ],
)
def test_never_equal_where_the_meaning_differs(name: str, values: list[str]) -> None:
    for one, other in product(values, repeat=2):
        assert (canonical(name, one) == canonical(name, other)) is (one == other), (one, other)
