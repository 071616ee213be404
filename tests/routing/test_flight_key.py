"""What names a download: who shares one, and its text in the store."""

from __future__ import annotations

import pytest

from pyproxycache.messages import Headers, Request
from pyproxycache.routing.flight_key import FlightKey, flight_key
from pyproxycache.rules.urls import parse_url

URL = "http://origin.example:8080/a b?c"


def get(line: str) -> Request:
    name, _, value = line.partition(":")
    return Request("GET", parse_url("http://origin.example/"), Headers(((name, value.strip()),)))


@pytest.mark.parametrize(
    ("varies", "one", "other", "shared"),
    [
        pytest.param((), "Foo: 1", "Foo: 2", True, id="nothing-known"),
        pytest.param(("foo",), "Foo: 1", "Foo:  1", True, id="same-value"),
        pytest.param(("foo",), "Foo: 1", "Foo: 2", False, id="other-value"),
        pytest.param(("foo",), "Foo:", "Bar: 1", False, id="empty-is-not-absent"),
        pytest.param(("foo",), "Bar: 1", "Bar: 2", True, id="another-field"),
        pytest.param((), "X-Forwarded-Host: a", "X-Forwarded-Host: b", False, id="overrides-the-host"),
        pytest.param((), "X-Original-URL: /a", "X-Host: a", False, id="overrides-other-things"),
        pytest.param((), "Forwarded: host=a", "Forwarded: for=1;host=A", True, id="same-override"),
    ],
)
def test_who_shares_a_download(varies: tuple[str, ...], one: str, other: str, shared: bool) -> None:
    keys = {flight_key(URL, varies, get(one)), flight_key(URL, varies, get(other))}
    assert (len(keys) == 1) is shared


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("bytes=5-9", "bytes=5-", True),
        ("bytes=5-9", "bytes=6-9", False),
        ("bytes=5-9", "bytes=50-90", False),
        ("bytes=-5", "bytes=-6", False),
        ("bytes=1-2,5-9", "bytes=1-3,5-9", False),
        ("bytes=5-9", "", False),
    ],
)
def test_parts_that_begin_alike_share_one(one: str, other: str, shared: bool) -> None:
    whole = FlightKey(URL)
    assert (whole.of_part(one) == whole.of_part(other)) is shared


KEYS = [
    FlightKey(URL),
    FlightKey(URL, (("accept", None),)),
    FlightKey(URL, (("accept", ""),)),
    FlightKey(URL, (("accept", 'é, "\n'), ("(content)", "0"))),
    FlightKey(URL, part="bytes=5"),
    FlightKey(URL, (("accept", "a"),), "bytes=5", has_ttl=True),
    FlightKey(URL).with_ttl(),
]


@pytest.mark.parametrize("key", KEYS)
def test_its_text_gives_it_back(key: FlightKey) -> None:
    assert FlightKey.of(key.cache_key, key.variant) == key
    assert "\n" not in key.variant
    assert key.origin == "http://origin.example:8080"


def test_no_two_have_the_same_text() -> None:
    assert len({key.variant for key in KEYS}) == len(KEYS)


@pytest.mark.parametrize(
    "text", ["x", "[]", "1", "null", "{}", '[[], ""]', "[1, 2, 3]", '[[["a"]], "", false]']
)
def test_what_is_no_such_text(text: str) -> None:
    with pytest.raises(ValueError, match="no variant"):
        FlightKey.of(URL, text)
