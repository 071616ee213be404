"""What an origin is asked for where a body is to go on, and which answers go on with it."""

from __future__ import annotations

import pytest

from pyproxycache.messages import Entry, Head, Headers, Part, Request
from pyproxycache.rules.resumption import (
    headers_for,
    is_alike,
    is_same,
    is_whole,
    plain_headers,
    request_for_rest,
)
from pyproxycache.url import Url

STRONG, WEAK, LENGTH = ("ETag", '"1"'), ("ETag", 'W/"1"'), ("Content-Length", "100")
TYPE, GZIP = ("Content-Type", "text/plain"), ("Content-Encoding", "gzip")


def head(*fields: tuple[str, str], status: int = 200) -> Head:
    return Head(status, "", Headers(fields))


def entry(*fields: tuple[str, str], part: Part | None = None) -> Entry:
    return Entry("http://h/a", head(*fields, status=200 if part is None else 206), 1.0, 1.0, part=part)


def request(*fields: tuple[str, str]) -> Request:
    return Request("GET", Url("http", "h", 80, "/a"), Headers(fields))


CONDITIONAL = request(
    ("If-None-Match", '"9"'), ("Range", "bytes=3-"), ("Connection", "X"), ("X", "1"), ("Accept", "a/b")
)


def test_a_whole_is_asked_for_without_what_the_client_has() -> None:
    assert [*plain_headers(CONDITIONAL)] == [("Accept", "a/b")]


@pytest.mark.parametrize(
    ("like", "fields"),
    [
        (entry(STRONG), {}),
        (entry(STRONG, part=Part(5, 9, 100)), {"Range": "bytes=5-9", "If-Range": '"1"'}),
        (entry(WEAK, part=Part(5, 9, 100)), {}),
        (entry(part=Part(5, 9, 100)), {}),
    ],
)
def test_what_an_entry_is_is_asked_for(like: Entry, fields: dict[str, str]) -> None:
    assert dict(headers_for(like, CONDITIONAL)) == {"Accept": "a/b", **fields}


@pytest.mark.parametrize(
    ("left", "size", "wanted"),
    [
        (entry(STRONG), 40, "bytes=40-"),
        (entry(STRONG), 0, None),
        (entry(WEAK), 40, None),
        (entry(LENGTH), 40, None),
        (entry(STRONG, GZIP, LENGTH), 40, "bytes=40-"),
        (entry(STRONG, GZIP), 40, None),  # it may be compressed anew for each request
        (entry(STRONG, part=Part(10, 29, 100)), 5, "bytes=15-29"),
        (entry(STRONG, part=Part(10, 29, 100)), 20, None),
        (None, 40, None),
    ],
)
def test_the_rest_is_asked_for_where_it_can_be_joined(
    left: Entry | None, size: int, wanted: str | None
) -> None:
    asked = request_for_rest(CONDITIONAL, left, size)
    if wanted is None:
        assert asked is None
    else:
        assert asked is not None
        assert (asked.headers.get("range"), asked.headers.get("if-range")) == (wanted, '"1"')
        assert "if-none-match" not in asked.headers


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (entry(STRONG), entry(STRONG), True),
        (entry(STRONG), entry(("ETag", '"2"')), False),
        (entry(WEAK), entry(WEAK), False),
        (entry(STRONG, part=Part(0, 9, 100)), entry(STRONG, part=Part(0, 9, 100)), True),
        (entry(STRONG, part=Part(0, 9, 100)), entry(STRONG, part=Part(5, 9, 100)), False),
        (entry(STRONG), entry(STRONG, part=Part(0, 9, 100)), False),
    ],
)
def test_a_body_goes_on_with_the_same_bytes_alone(old: Entry, new: Entry, same: bool) -> None:
    assert is_same(old, new) is same


@pytest.mark.parametrize(
    ("now", "whole"),
    [
        (head(STRONG), True),
        (head(STRONG, status=206), False),
        (head(("ETag", '"2"')), False),
        (head(STRONG, ("Content-Range", "bytes 5-9/100")), False),  # a part that does not say so
    ],
)
def test_an_origin_may_send_the_whole_again(now: Head, whole: bool) -> None:
    assert is_whole(now, head(STRONG)) is whole


@pytest.mark.parametrize(
    ("now", "alike"),
    [
        (head(TYPE, WEAK), True),
        (head(TYPE, WEAK, ("Date", "now")), True),
        (head(TYPE), False),
        (head(WEAK), False),
        (head(TYPE, WEAK, GZIP), False),
        (head(TYPE, WEAK, ("Last-Modified", "x")), False),
        (head(TYPE, WEAK, status=404), False),
    ],
)
def test_an_answer_is_alike_whose_bytes_have_to_be_compared(now: Head, alike: bool) -> None:
    assert is_alike(head(TYPE, WEAK), now) is alike
