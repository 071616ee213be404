"""Heads that are parsed without gunicorn are parsed as gunicorn would."""

from __future__ import annotations

from typing import Any

import pytest
from gunicorn.http import get_parser
from gunicorn.http.errors import InvalidRequestLine
from hypothesis import given, settings
from hypothesis import strategies as st
from inprocess import server_config

from pyproxycache.front.requests.simple import names_as_sent, simple_head

CFG = server_config()
Parsed = tuple[str, str, tuple[int, int], tuple[tuple[str, str], ...]]

LINES = [
    b"GET http://o.example/a?b=c HTTP/1.1",
    b"HEAD / HTTP/1.0",
    b"GET /%zz#f HTTP/1.1",
    b"CONNECT o.example:443 HTTP/1.1",
    b"CONNECT [::1]:443 HTTP/1.0",
    b"CONNECT http://o.example/ HTTP/1.1",
    b"GET * HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"get / HTTP/1.1",
    b"POST / HTTP/1.1",
    b"GET / HTTP/1.2",
]
FIELDS = [
    b"Host: o.example",
    b"host:o",
    b"X-y_Z: a\tb \t",
    b"Empty:",
    b"Cookie: a=b; c=\xff",
    b"Connection: keep-alive, close",
    b"Content-Length: 5",
    b"content-length : 5",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b" folded: x",
    b"Bad Name: x",
    b"No-Colon",
    b"Nul: a\0b",
    b"Lf: a\nb",
    b"X-Forwarded-Proto: https",
]


def simply(head: bytes) -> Parsed | None:
    """What the simple way makes of it."""
    parsed = simple_head(head, CFG)
    return parsed and (parsed.method, parsed.target, parsed.version, parsed.headers.fields)


def by_gunicorn(head: bytes) -> Parsed:
    """The same by gunicorn, or its exception."""
    request: Any = next(get_parser(CFG, iter([head]), ("127.0.0.1", 1)))
    sent = names_as_sent(head)
    fields = tuple((sent[name], value) for name, value in request.headers)
    return request.method, request.uri, request.version, fields


@settings(max_examples=300)
@given(
    st.sampled_from(LINES),
    st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4),
    st.binary(max_size=3),
    st.integers(0, 100),
)
def test_what_is_parsed_simply_is_parsed_the_same(
    line: bytes, fields: list[bytes], noise: bytes, place: int
) -> None:
    head = b"\r\n".join([line, *fields, b"", b""])
    head = head[:place] + noise + head[place:]
    parsed = simply(head)
    if parsed is None:
        return
    try:
        assert parsed == by_gunicorn(head)
    except InvalidRequestLine:
        assert set("[]") & set(parsed[1])  # which is no URL, and is refused as such


@pytest.mark.parametrize("line", LINES[:2])
def test_nearly_all_are_simple(line: bytes) -> None:
    assert simply(line + b"\r\nHost: o\r\nAccept: */*\r\n\r\n") is not None


@pytest.mark.parametrize("field", ["Content-Length: 0", "transfer-encoding: x", "Expect: 100-continue"])
def test_what_may_have_content_is_not_simple(field: str) -> None:
    assert simply(f"GET / HTTP/1.1\r\nHost: o\r\n{field}\r\n\r\n".encode()) is None
