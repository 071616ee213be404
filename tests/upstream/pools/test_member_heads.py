"""Answers of other members look like those of the first."""

from __future__ import annotations

import pytest

from pyproxycache.messages import Head, Headers
from pyproxycache.upstream.pools.member_heads import as_of_pool, without_range_by_date
from pyproxycache.url import Url

FIRST, MEMBER = Url("http", "a.test", 80, "/api"), Url("https", "b.test", 8443, "/api")
DATE = "Mon, 01 Jun 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("https://b.test:8443/api/x?y#z", "http://a.test/api/x?y#z"),
        ("https://b.test:8443", "http://a.test"),
        ("https://b.test:8443?x", "http://a.test?x"),
        ("https://b.test:84430/x", "https://b.test:84430/x"),
        ("https://b.test/x", "https://b.test/x"),
        ("http://b.test:8443/x", "http://b.test:8443/x"),
        ("/x", "/x"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("name", ["Location", "content-location"])
def test_references_to_the_member(name: str, reference: str, expected: str) -> None:
    head = Head(201, "Created", Headers([(name, reference), ("X", reference)]))
    found = as_of_pool(head, MEMBER, FIRST)
    assert found.headers.fields == ((name, expected), ("X", reference))
    assert as_of_pool(head, FIRST, FIRST) is head


@pytest.mark.parametrize(
    ("status", "etag", "keeps"),
    [(206, '"x"', True), (206, 'W/"x"', False), (206, None, False), (200, None, True), (304, None, True)],
)
def test_parts_without_a_strong_tag_have_no_validator(status: int, etag: str | None, keeps: bool) -> None:
    fields = [("Last-Modified", DATE), *([("ETag", etag)] if etag else [])]
    found = as_of_pool(Head(status, headers=Headers(fields)), FIRST, FIRST)
    assert ("last-modified" in found.headers) == keeps


@pytest.mark.parametrize(
    ("condition", "keeps"), [('"x"', True), ('W/"x"', False), (DATE, False), (None, True)]
)
def test_a_range_by_a_date_is_not_asked_for(condition: str | None, keeps: bool) -> None:
    fields = [("Range", "bytes=5-"), *([("If-Range", condition)] if condition else [])]
    found = without_range_by_date(Headers(fields))
    assert found.fields == (tuple(fields) if keeps else ())
