"""Answers made of stored and arriving responses."""

from __future__ import annotations

import pytest

from pyproxycache.errors import ProxyError, UpstreamTimeout
from pyproxycache.messages import Entry, Head, Headers, Request
from pyproxycache.response import Response
from pyproxycache.rules.grammar import format_http_date
from pyproxycache.serving import responses
from pyproxycache.url import Url

BODY = b"0123456789"
NOW = 1_000_000.0
URL = Url("http", "host", 80, "/")


def entry(status: int = 200, *fields: tuple[str, str]) -> Entry:
    own = (("Date", format_http_date(NOW - 100)), ("ETag", '"1"'), ("X", "y"), *fields)
    return Entry("key", Head(status, "Fine", Headers(own)), NOW - 100, NOW - 100)


def answered(
    method: str, stored: Entry, length: int | None, *fields: tuple[str, str]
) -> tuple[Response, bytes | None]:
    """The answer, and what was read of the body; None where it was not even opened."""
    opened: list[bytes] = []

    def open_body(start: int, stop: int | None) -> list[bytes]:
        opened.append(BODY[start:stop])
        return opened

    request = Request(method, URL, Headers(fields))
    response = responses.from_entry(request, stored, length, NOW, open_body)
    return response, opened[0] if opened else None


@pytest.mark.parametrize(
    ("method", "field", "length", "status", "body"),
    [
        ("GET", None, 10, 200, BODY),
        ("GET", None, None, 200, BODY),
        ("HEAD", None, 10, 200, None),
        ("HEAD", None, None, 200, None),
        ("GET", ("If-None-Match", '"1"'), 10, 304, None),
        ("HEAD", ("If-None-Match", '"1"'), 10, 304, None),
        ("GET", ("If-None-Match", '"2"'), 10, 200, BODY),
        ("GET", ("Range", "bytes=2-4"), 10, 206, b"234"),
        ("GET", ("Range", "bytes=7-"), 10, 206, b"789"),
        ("GET", ("Range", "bytes=-1"), 10, 206, b"9"),
        ("GET", ("Range", "bytes=10-"), 10, 416, None),
        ("GET", ("Range", "bytes=2-4"), None, 200, BODY),
        ("HEAD", ("Range", "bytes=2-4"), 10, 200, None),
    ],
)
def test_what_a_client_gets_of_a_response(
    method: str, field: tuple[str, str] | None, length: int | None, status: int, body: bytes | None
) -> None:
    response, read = answered(method, entry(), length, *([field] if field else []))
    assert (response.head.status, read) == (status, body)
    if read is not None:
        assert response.length == (None if length is None else len(read))


@pytest.mark.parametrize(
    ("field", "length", "content_length"),
    [(("X", "y"), 10, "10"), (("Range", "bytes=2-4"), 10, "3"), (("X", "y"), None, None)],
)
def test_the_length_is_that_of_what_is_sent(
    field: tuple[str, str], length: int | None, content_length: str | None
) -> None:
    response, _read = answered("GET", entry(), length, field)
    assert response.head.headers.get("content-length") == content_length


def test_head_says_how_long_the_body_would_be() -> None:
    response, _read = answered("HEAD", entry(), 10)
    assert response.head.headers.get("content-length") == "10"


def test_no_length_where_no_body_can_be() -> None:
    response, _read = answered("GET", entry(204), 0)
    assert "content-length" not in response.head.headers


@pytest.mark.parametrize("field", [("X", "y"), ("Range", "bytes=2-4"), ("If-None-Match", '"1"')])
def test_each_answer_has_its_age(field: tuple[str, str]) -> None:
    response, _read = answered("GET", entry(200, ("Age", "7")), 10, field)
    assert response.head.headers.lines("age") == ("107",)


def test_a_304_says_what_may_have_changed_and_no_more() -> None:
    stored = entry(200, ("Content-Type", "text/plain"), ("Vary", "A"), ("Cache-Control", "max-age=9"))
    response, _read = answered("GET", stored, 10, ("If-None-Match", '"1"'))
    assert response.head.headers.names() == {"age", "cache-control", "date", "etag", "vary"}


@pytest.mark.parametrize("error", [UpstreamTimeout("too slow"), ProxyError("odd")])
def test_an_error_is_a_short_text_that_nobody_keeps(error: ProxyError) -> None:
    response = responses.from_error(error)
    assert response.head.status == error.status
    assert b"".join(response.body) == f"{error}\n".encode()  # type: ignore[arg-type]
    assert response.head.headers.get("cache-control") == "no-store"
    assert response.head.headers.get("content-length") == str(response.length)


def test_an_error_brings_the_fields_of_its_answer() -> None:
    error = ProxyError("come back", headers=(("Retry-After", "7"), ("Allow", "GET")))
    headers = responses.from_error(error).head.headers
    assert (headers.get("retry-after"), headers.get("allow")) == ("7", "GET")
    assert headers.get("cache-control") == "no-store"


@pytest.mark.parametrize(
    ("date", "expected"), [("Thu, 01 Jan 1970 00:00:00 GMT",) * 2, (None, format_http_date(NOW))]
)
def test_an_answer_is_signed_and_dated(date: str | None, expected: str) -> None:
    fields = [("Via", "1.0 before")] + ([("Date", date)] if date else [])
    headers = responses.signed(Head(200, "", Headers(fields)), "us", "us; hit", NOW)
    assert headers.get("date") == expected
    assert headers.get("via") == "1.0 before, 1.1 us"
    assert headers.get("cache-status") == "us; hit"
