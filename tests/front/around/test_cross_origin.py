"""CORS: which pages are let in, and what browsers are told of that."""

from __future__ import annotations

import io
from typing import Any

import pytest

from pyproxycache.front.around.cross_origin import CrossOrigin, with_vary
from pyproxycache.front.requests.raw_request import RawRequest
from pyproxycache.messages import Head, Headers
from pyproxycache.route_options.around import CorsOptions

APP = "https://app.test"


def pages(*origins: str, methods: tuple[str, ...] = (), **options: Any) -> CrossOrigin:
    return CrossOrigin(CorsOptions(origins=origins, **options), methods)


def asked(method: str, *fields: tuple[str, str]) -> RawRequest:
    return RawRequest(method, "/x", (1, 1), Headers(fields), "127.0.0.1", io.BytesIO())


def from_page(origin: str) -> RawRequest:
    return asked("GET", ("Origin", origin))


@pytest.mark.parametrize(
    ("origins", "origin", "is_let_in"),
    [
        ([APP], APP, True),
        ([APP], "https://app.test:443", False),
        ([APP], "http://app.test", False),
        ([APP], "https://app.test.evil.test", False),
        ([APP], "https://evil.test#https://app.test", False),
        ([APP], f"{APP} {APP}", False),
        ([APP], f"{APP}, https://evil.test", False),
        ([APP], "null", False),
        ([APP], "", False),
        ([APP], "x" * 10_000, False),
        ([APP], f"{APP}\n", False),
        ([APP, "http://b.test:8080"], "http://b.test:8080", True),
        (["https://a.b"], "https://axb", False),
        (["https://*.app.test"], "https://x.app.test", True),
        (["https://*.app.test"], "https://x.y.app.test", True),
        (["https://*.app.test"], APP, False),
        (["https://*.app.test"], "https://.app.test", False),
        (["https://*.app.test"], "https://evil.test/.app.test", False),
        (["https://*.app.test"], "https://evil.test:1.app.test", False),
    ],
)
def test_pages_are_let_in_by_their_origin(origins: list[str], origin: str, is_let_in: bool) -> None:
    shown = pages(*origins, credentials=True, expose=("X-A", "X-B")).shown(from_page(origin), Head(200))
    assert shown.headers.get("access-control-allow-origin") == (origin if is_let_in else None)
    assert shown.headers.get("access-control-allow-credentials") == ("true" if is_let_in else None)
    assert shown.headers.get("access-control-expose-headers") == ("X-A, X-B" if is_let_in else None)
    assert shown.headers.get("vary") == "Origin"


def test_two_lines_are_no_origin() -> None:
    shown = pages(APP).shown(asked("GET", ("Origin", APP), ("Origin", APP)), Head(200))
    assert "access-control-allow-origin" not in shown.headers


def test_any_page_is_let_in_without_credentials() -> None:
    for received in (from_page("https://anywhere.test"), asked("GET")):
        shown = pages("*").shown(received, Head(200, "", Headers([("Access-Control-Allow-Origin", APP)])))
        assert shown.headers == Headers([("Access-Control-Allow-Origin", "*")])


def test_what_the_upstream_says_does_not_count() -> None:
    said = [
        ("access-control-allow-origin", "*"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Accept"),
        ("X", "1"),
    ]
    shown = pages(APP).shown(from_page("https://evil.test"), Head(200, "", Headers(said)))
    assert shown.headers == Headers([("X", "1"), ("Vary", "Accept, Origin")])


PREFLIGHT = ("Access-Control-Request-Method", "PUT")


@pytest.mark.parametrize(
    ("received", "status"),
    [
        (asked("OPTIONS", ("Origin", APP), PREFLIGHT), 204),
        (asked("OPTIONS", ("Origin", "https://evil.test"), PREFLIGHT), 403),
        (asked("OPTIONS", PREFLIGHT), None),
        (asked("OPTIONS", ("Origin", APP)), None),
        (asked("GET", ("Origin", APP), PREFLIGHT), None),
    ],
)
def test_preflight_requests(received: RawRequest, status: int | None) -> None:
    response = pages(APP, methods=("GET", "PUT"), headers=("X-A",), max_age=60.0).preflight(received)
    assert (response.head.status if response else None) == status
    if response is None:
        return
    headers = response.head.headers
    assert headers.get("vary") == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    allowed = (APP, "GET, PUT", "X-A", "60") if status == 204 else (None,) * 4
    names = ("allow-origin", "allow-methods", "allow-headers", "max-age")
    assert tuple(headers.get(f"access-control-{name}") for name in names) == allowed


@pytest.mark.parametrize(
    ("method", "switches", "goes_on"),
    [("GET", False, False), ("HEAD", False, False), ("GET", True, True), ("POST", False, True)],
)
def test_answers_for_all_pages_are_asked_for_without_one(
    method: str, switches: bool, goes_on: bool
) -> None:
    onward = pages(APP).onward(Headers([("Origin", APP)]), method, switches=switches)
    assert ("origin" in onward) == goes_on


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, "Origin"), ("*", "*"), ("origin", "origin"), ("Accept, X", "Accept, X, Origin")],
)
def test_vary(before: str | None, after: str) -> None:
    headers = Headers([("Vary", before)] if before else ())
    assert with_vary(headers, "Origin").get("vary") == after
