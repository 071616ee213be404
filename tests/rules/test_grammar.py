"""Field syntax: what is taken, what is refused, and that nothing raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample import fields

from pyproxycache.rules.grammar import (
    HOP_BY_HOP,
    delta_seconds,
    end_to_end,
    format_http_date,
    http_date,
    parse_content_range,
    split_list,
    split_parameter,
    unquote,
)


@pytest.mark.parametrize(
    ("text", "members"),
    [
        pytest.param("", [], id="empty"),
        pytest.param(" , ,", [], id="only-commas"),
        pytest.param("a", ["a"], id="one"),
        pytest.param("a ,\tb,,c", ["a", "b", "c"], id="blanks-and-empties"),
        pytest.param('a="x, y", b', ['a="x, y"', "b"], id="comma-in-quotes"),
        pytest.param(r'a="x\", y", b', [r'a="x\", y"', "b"], id="escaped-quote"),
        pytest.param('a="x, b', ['a="x, b'], id="open-quote-takes-the-rest"),
        pytest.param('a="x\\', ['a="x\\'], id="backslash-at-the-end"),
    ],
)
def test_split_list(text: str, members: list[str]) -> None:
    assert split_list(text) == members


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        ("no-store", ("no-store", None)),
        ("Max-Age=5", ("max-age", "5")),
        ('max-age="5"', ("max-age", "5")),
        (r'a="x\"y\\"', ("a", 'x"y\\')),
        ("a=", ("a", "")),
        ("max-age= 5", ("max-age", " 5")),
        ("max-age =5", ("max-age", " =5")),
        ("max-age:5", ("max-age", ":5")),
        ("max-age='5'", ("max-age", "'5'")),
        ("=5", None),
        ('"a"', None),
    ],
)
def test_split_parameter(text: str, parameter: tuple[str, str | None] | None) -> None:
    assert split_parameter(text) == parameter


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("3600", 3600),
        ("0000000000003600", 3600),
        ("2147483648", 2**31),
        ("2147483649", 2**31),
        ("99999999999", 2**31),
        pytest.param("9" * 5000, 2**31, id="5000-digits"),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1 ", None),
        ("1e3", None),
        ("1_000", None),
        ("٣", None),
        ("²", None),
    ],
)
def test_delta_seconds(text: str, seconds: int | None) -> None:
    assert delta_seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", 784111777, id="imf-fixdate"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", 784111777, id="rfc850"),
        pytest.param("Sun Nov  6 08:49:37 1994", 784111777, id="asctime"),
        pytest.param("sUN, 06 nOV 1994 08:49:37 gmt", 784111777, id="any-case"),
        pytest.param("Mon, 06 Nov 1994 08:49:37 GMT", 784111777, id="wrong-weekday"),
        pytest.param("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800, id="leap-second"),
        pytest.param("Wednesday, 01-Jan-70 00:00:00 GMT", 0, id="two-digits-70"),
        pytest.param("Wednesday, 18-Aug-50 02:01:18 GMT", 2544400878, id="two-digits-50"),
        pytest.param("Mon, 01 Jan 0001 00:00:00 GMT", -62135596800, id="long-ago"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 253402300799, id="far-ahead"),
        pytest.param("Mon, 01 Jan 0000 00:00:00 GMT", None, id="year-0"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 UTC", None, id="utc"),
        pytest.param("Sun, 06 Nov 1994 08:49:37 +0000", None, id="offset"),
        pytest.param("Sun, 06 Nov 94 08:49:37 GMT", None, id="two-digits-in-fixdate"),
        pytest.param("Sun 06 Nov 1994 08:49:37 GMT", None, id="no-comma"),
        pytest.param("Sun, 06  Nov  1994 08:49:37 GMT", None, id="more-spaces"),
        pytest.param("Sun, 06-Nov-1994 08:49:37 GMT", None, id="dashes"),
        pytest.param("Sun, 06 Nov 1994 08.49.37 GMT", None, id="periods"),
        pytest.param("Sun, 06 Nov 1994 8:49:37 GMT", None, id="one-digit-hour"),
        pytest.param("Sun, 06 Nov 1994 24:00:00 GMT", None, id="hour-24"),
        pytest.param("Sun, 06 Nov 1994 08:49:61 GMT", None, id="second-61"),
        pytest.param("Sun, 30 Feb 1994 08:49:37 GMT", None, id="february-30"),
        pytest.param("Sun, 06 Növ 1994 08:49:37 GMT", None, id="no-month"),
        pytest.param("Sun, 06 Abc 1994 08:49:37 GMT", None, id="unknown-month"),
        pytest.param("0", None, id="zero"),
        pytest.param("", None, id="empty"),
    ],
)
def test_http_date(text: str, seconds: int | None) -> None:
    assert http_date(text) == seconds


@given(st.integers(min_value=-62135596800, max_value=253402300799))
def test_a_formatted_date_parses_to_itself(t: int) -> None:
    assert http_date(format_http_date(t)) == t


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters=',"\\ \t'), min_size=1)))
def test_a_joined_list_splits_to_itself(members: list[str]) -> None:
    assert split_list(" ,, ".join(members)) == members


@given(st.lists(st.text(st.characters(codec="latin-1"))))
def test_quoted_members_split_to_themselves(texts: list[str]) -> None:
    quoted = ['"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in texts]
    assert [unquote(member) for member in split_list(",".join(quoted))] == texts


@given(st.text())
def test_no_text_raises(text: str) -> None:
    for parse in (split_list, split_parameter, delta_seconds, http_date, parse_content_range, unquote):
        parse(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("bytes 0-99/200", (0, 99, 200)),
        ("BYTES 0-0/1", (0, 0, 1)),
        ("bytes 5-99/*", (5, 99, None)),
        ("bytes */200", None),
        ("bytes 99-0/200", None),
        ("bytes 0-200/200", None),
        ("bytes=0-99/200", None),
        ("items 0-99/200", None),
        ("bytes 0-99", None),
    ],
)
def test_parse_content_range(text: str, span: tuple[int, int, int | None] | None) -> None:
    assert parse_content_range(text) == span


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_hop_by_hop_fields_stay_behind(name: str) -> None:
    assert end_to_end(fields("A: 1", f"{name.title()}: x", "B: 2")) == fields("A: 1", "B: 2")


def test_fields_named_by_connection_stay_behind() -> None:
    headers = fields("Connection: close, X-Hop", "connection: y", "X-Hop: 1", "Y: 2", "Z: 3")
    assert end_to_end(headers) == fields("Z: 3")


def test_connection_cannot_take_away_what_the_rules_rest_on() -> None:
    kept = ("Cache-Control: no-store", "Vary: A", "Host: h")
    assert end_to_end(fields("Connection: cache-control, vary, HOST", *kept)) == fields(*kept)


def test_other_fields_go_on_in_their_order() -> None:
    headers = fields("B: 1", "A: 2", "b: 3")
    assert end_to_end(headers) == headers
