"""Requests of HTTP/2 as heads of HTTP/1.1: whose URL is meant, and what becomes of the fields."""

from __future__ import annotations

import pytest

from pyproxycache.front.http2.faults import ErrorCode, StreamFault
from pyproxycache.front.http2.request_heads import check_trailers, request_head
from pyproxycache.front.requests.ingress import PLAIN, SECURED, Ingress, standing_in_for
from pyproxycache.front.requests.simple import is_simple
from pyproxycache.url import Url

INSTEAD = standing_in_for(Url("https", "o.example", 443, "/"))


def fields(method: str, url: str, *more: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    lines = [
        (":method", method),
        (":scheme", scheme),
        (":authority", authority),
        (":path", f"/{path}"),
        *more,
    ]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines]


@pytest.mark.parametrize(
    ("url", "ingress", "server_name", "target"),
    [
        ("https://cache:3129/a?b", SECURED, "", "/a?b"),
        ("https://cache:3129/a", SECURED, "cache", "/a"),
        ("https://CACHE./a", SECURED, "cache", "/a"),
        ("https://cache/a", SECURED, "Cache.", "/a"),
        ("https://[::1]:3129/a", SECURED, "", "/a"),
        ("https://other/a", SECURED, "cache", "https://other/a"),
        ("https://cache.example/a", SECURED, "cache", "https://cache.example/a"),
        ("https://[::1]/a", SECURED, "cache", "https://[::1]/a"),
        ("http://cache:3129/a", SECURED, "cache", "http://cache:3129/a"),
        ("http://h/a", SECURED, "", "http://h/a"),
        ("ftp://h/a", SECURED, "", "ftp://h/a"),
        ("http://h/a", PLAIN, "", "/a"),
        ("https://o.example/a", INSTEAD, "", "/a"),
        ("https://other/a", INSTEAD, "o.example", "/a"),  # whose Host is refused, as in HTTP/1.1
        ("http://o.example/a", INSTEAD, "", "http://o.example/a"),
        ("https://h/http://o/a", SECURED, "", "/http://o/a"),
        ("https://h/\xe9", SECURED, "", "/\xe9"),
    ],
)
def test_whose_url_is_meant(url: str, ingress: Ingress, server_name: str, target: str) -> None:
    made = request_head(fields("GET", url), ingress, server_name, ends=True)
    authority = url.split("/")[2]
    assert made.head.decode("latin-1") == f"GET {target} HTTP/1.1\r\nhost: {authority}\r\n\r\n"
    assert (made.method, made.length, made.is_chunked) == (b"GET", None, False)


def test_a_simple_request_is_simple() -> None:
    made = request_head(
        fields("GET", "http://h/a", ("accept", "*/*"), ("cookie", "a=b")), SECURED, "", ends=True
    )
    assert is_simple(made.head)


def test_fields() -> None:
    more = (
        ("b", ""),
        ("cookie", "a=1"),
        ("te", "trailers"),
        ("host", "H"),
        ("cookie", "b=2; c=3"),
        ("b", "\xe9 x"),
    )
    made = request_head(fields("POST", "http://h/", *more), SECURED, "", ends=False)
    assert made.head.decode("latin-1") == (
        "POST http://h/ HTTP/1.1\r\nhost: h\r\nb: \r\nte: trailers\r\nb: \xe9 x\r\n"
        "cookie: a=1; b=2; c=3\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    assert made.is_chunked


def test_a_length() -> None:
    made = request_head(fields("PUT", "http://h/", ("content-length", "5")), SECURED, "", ends=False)
    assert (made.length, made.is_chunked) == (5, False)
    made = request_head(fields("PUT", "http://h/", ("content-length", "0")), SECURED, "", ends=True)
    assert (made.length, made.is_chunked) == (0, False)


def test_a_host_stands_in_for_the_authority() -> None:
    lines = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b"host", b"h:81")]
    made = request_head(lines, SECURED, "", ends=True)
    assert made.head == b"GET http://h:81/ HTTP/1.1\r\nhost: h:81\r\n\r\n"


def test_the_server_as_a_whole() -> None:
    lines = [(b":method", b"OPTIONS"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"*")]
    assert request_head(lines, SECURED, "", ends=True).head.startswith(b"OPTIONS http://h HTTP/1.1\r\n")
    assert request_head(lines, PLAIN, "", ends=True).head.startswith(b"OPTIONS * HTTP/1.1\r\n")


def test_a_tunnel() -> None:
    lines = [(b":method", b"CONNECT"), (b":authority", b"h:443")]
    made = request_head(lines, SECURED, "h", ends=False)
    assert made.head == b"CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\n\r\n"
    assert not made.is_chunked, "what follows is the tunnel's"


@pytest.mark.parametrize(
    "lines", [[(b":path", b"/")], [(b"A", b"b")], [(b"a", b"b\r\nc")], [(b"connection", b"x")]]
)
def test_trailers_that_are_none(lines: list[tuple[bytes, bytes]]) -> None:
    check_trailers([(b"a", b"b")])
    with pytest.raises(StreamFault) as caught:
        check_trailers(lines)
    assert caught.value.code == ErrorCode.PROTOCOL_ERROR
