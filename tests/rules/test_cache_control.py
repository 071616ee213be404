"""Cache-Control: every row is field text and the directives it means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import EACH_DIRECTIVE, fields

from pyproxycache.messages import Headers
from pyproxycache.rules.cache_control import (
    RequestDirectives,
    ResponseDirectives,
    request_directives,
    response_directives,
)


@pytest.mark.parametrize(
    ("lines", "directives"),
    [
        pytest.param([], RequestDirectives(), id="nothing"),
        pytest.param(["Cache-Control: No-Cache"], RequestDirectives(no_cache=True), id="no-cache"),
        pytest.param(["Cache-Control: no-store"], RequestDirectives(no_store=True), id="no-store"),
        pytest.param(
            ["Cache-Control: no-transform"], RequestDirectives(no_transform=True), id="no-transform"
        ),
        pytest.param(
            ["Cache-Control: only-if-cached"], RequestDirectives(only_if_cached=True), id="only-if-cached"
        ),
        pytest.param(
            ["Cache-Control: max-age=5, min-fresh=6", "cache-control: max-stale=7, stale-if-error=8"],
            RequestDirectives(max_age=5, min_fresh=6, max_stale=7, stale_if_error=8),
            id="times-on-two-lines",
        ),
        pytest.param(
            ["Cache-Control: max-stale"], RequestDirectives(max_stale=2**31), id="max-stale-without-limit"
        ),
        pytest.param(
            ["Cache-Control: max-stale, max-stale=5"],
            RequestDirectives(),
            id="max-stale-unclear",
        ),
        pytest.param(["Cache-Control: max-stale=x"], RequestDirectives(), id="max-stale-invalid"),
        pytest.param(["Cache-Control: max-age=x"], RequestDirectives(max_age=0), id="max-age-invalid"),
        pytest.param(["Cache-Control: max-age"], RequestDirectives(max_age=0), id="max-age-bare"),
        pytest.param(
            ["Cache-Control: max-age=9, max-age=3"], RequestDirectives(max_age=3), id="max-age-twice"
        ),
        pytest.param(
            ["Cache-Control: min-fresh=9, min-fresh=3"],
            RequestDirectives(min_fresh=9),
            id="min-fresh-twice",
        ),
        pytest.param(["Cache-Control: min-fresh=x"], RequestDirectives(), id="min-fresh-invalid"),
        pytest.param(["Pragma: No-Cache"], RequestDirectives(no_cache=True), id="pragma"),
        pytest.param(["Pragma: x, no-cache"], RequestDirectives(no_cache=True), id="pragma-in-a-list"),
        pytest.param(["Pragma: foo"], RequestDirectives(), id="pragma-extension"),
        pytest.param(
            ["Pragma: no-cache", "Cache-Control: max-age=5"],
            RequestDirectives(max_age=5),
            id="pragma-overruled",
        ),
    ],
)
def test_request_directives(lines: list[str], directives: RequestDirectives) -> None:
    assert request_directives(fields(*lines)) == directives


@pytest.mark.parametrize(
    ("text", "directives"),
    [
        pytest.param("", ResponseDirectives(), id="nothing"),
        *EACH_DIRECTIVE,
        pytest.param('MAX-AGE="60"', ResponseDirectives(max_age=60), id="quoted-and-upper-case"),
        pytest.param('x="max-age=9", max-age=1', ResponseDirectives(max_age=1), id="inside-quotes"),
        pytest.param(
            'max-age=1, x="no-store, private"', ResponseDirectives(max_age=1), id="list-inside-quotes"
        ),
        pytest.param("max-age='60'", ResponseDirectives(max_age=0), id="single-quotes"),
        pytest.param("max-age =60", ResponseDirectives(max_age=0), id="space-before-equals"),
        pytest.param("max-age= 60", ResponseDirectives(max_age=0), id="space-after-equals"),
        pytest.param("max-age=60a", ResponseDirectives(max_age=0), id="trailing-letter"),
        pytest.param("max-age=-60", ResponseDirectives(max_age=0), id="negative"),
        pytest.param("max-age", ResponseDirectives(max_age=0), id="bare"),
        pytest.param(
            "s-maxage=x, max-age=5", ResponseDirectives(s_maxage=0, max_age=5), id="s-maxage-invalid"
        ),
        pytest.param("max-age=60, max-age=60", ResponseDirectives(max_age=60), id="twice-the-same"),
        pytest.param("max-age=60, max-age=90", ResponseDirectives(max_age=0), id="twice-different"),
        pytest.param("max-age=99999999999", ResponseDirectives(max_age=2**31), id="overflow"),
        pytest.param("stale-while-revalidate=x", ResponseDirectives(), id="swr-invalid"),
        pytest.param(
            "stale-while-revalidate=9, stale-while-revalidate=3",
            ResponseDirectives(stale_while_revalidate=3),
            id="swr-twice",
        ),
        pytest.param("foobar, a=b, max-age=5", ResponseDirectives(max_age=5), id="extensions"),
        pytest.param('no-cache="A, b"', ResponseDirectives(withheld=frozenset("ab")), id="no-cache-fields"),
        pytest.param(
            "no-cache=a", ResponseDirectives(withheld=frozenset("a")), id="no-cache-field-unquoted"
        ),
        pytest.param('private="A"', ResponseDirectives(withheld=frozenset("a")), id="private-fields"),
        pytest.param(
            'private="a", no-cache="b"', ResponseDirectives(withheld=frozenset("ab")), id="fields-of-both"
        ),
        pytest.param('no-cache=""', ResponseDirectives(no_cache=True), id="no-cache-of-nothing"),
        pytest.param(
            'no-cache="a", no-cache',
            ResponseDirectives(no_cache=True, withheld=frozenset("a")),
            id="no-cache-both-forms",
        ),
        pytest.param("private=", ResponseDirectives(private=True), id="private-of-nothing"),
        pytest.param("no-store=1", ResponseDirectives(no_store=True), id="flag-with-a-value"),
    ],
)
def test_response_directives(text: str, directives: ResponseDirectives) -> None:
    assert response_directives(fields(f"Cache-Control: {text}")) == directives


def test_an_open_quote_ends_with_its_line() -> None:
    headers = fields('Cache-Control: x="', "Cache-Control: no-store")
    assert response_directives(headers).no_store


@pytest.mark.parametrize(
    ("text", "must_validate", "never_stale"),
    [
        ("max-age=5", False, False),
        ("no-cache", True, True),
        ("private", True, True),
        ("no-store", True, True),
        ("no-store, must-understand", False, False),
        ('no-cache="a"', False, False),
        ("must-revalidate", False, True),
        ("proxy-revalidate", False, True),
        ("s-maxage=5", False, True),
    ],
)
def test_what_forbids_reuse(text: str, must_validate: bool, never_stale: bool) -> None:
    directives = response_directives(fields(f"Cache-Control: {text}"))
    assert (directives.must_validate, directives.never_stale) == (must_validate, never_stale)


@given(st.lists(st.tuples(st.sampled_from(["Cache-Control", "Pragma"]), st.text())))
def test_no_field_text_raises(lines: list[tuple[str, str]]) -> None:
    request_directives(Headers(lines))
    response_directives(Headers(lines))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("stale-if-error=60", 60),
        ("stale-if-error=60, stale-if-error=5", 5),
        ("stale-if-error=60, stale-if-error=", 0),
    ],
)
def test_a_clients_limit_that_is_partly_broken_stays_a_limit(text: str, seconds: int) -> None:
    assert request_directives(fields(f"Cache-Control: {text}")).stale_if_error == seconds
