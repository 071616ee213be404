"""Which route a request takes, however its path is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.errors import BadRequest
from pyproxycache.route_options.pooling import MemberOptions
from pyproxycache.route_options.route import RouteOptions
from pyproxycache.routing.route_table import Route, RouteTable
from pyproxycache.url import Url

UPSTREAM = Url("http", "up.test", 80, "/base/")
PATHS = [("", "/"), ("", "/api/v1/"), ("", "/api/v1/users/"), ("", "/api/v1/login"), ("h.test", "/api/")]


def route(host: str, path: str) -> Route:
    return Route(host, path, RouteOptions(members=(MemberOptions(url=UPSTREAM),)))


TABLE = RouteTable([route(host, path) for host, path in PATHS])


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("", "/", "/"),
        ("", "/other", "/"),
        ("", "/api/v1/", "/api/v1/"),
        ("", "/api/v1", "/api/v1/"),
        ("", "/api/v1x", "/"),
        ("", "/api/v1/x", "/api/v1/"),
        ("", "/api/v1/users/7", "/api/v1/users/"),
        ("", "/api/v1/login", "/api/v1/login"),
        ("", "/api/v1/login/", "/api/v1/login"),
        ("", "/api/v1/login/now", "/api/v1/login"),
        ("", "/api/v1/logins", "/api/v1/"),
        ("", "//api//v1///users/7", "/api/v1/users/"),
        ("", "/%61pi/v1/%75sers/7", "/api/v1/users/"),
        ("", "/api%2Fv1%2fusers/7", "/api/v1/users/"),
        ("", "/api/v1/users%00/7", "/api/v1/"),
        ("", "/api;a=b/v1;/users;x/7", "/api/v1/users/"),
        ("", "/api%3bx/v1/login;y", "/api/v1/login"),
        ("", "/api/./v1/.//%2e/users/7", "/api/v1/users/"),
        ("", "/./api/v1/users/.", "/api/v1/users/"),
        ("", "/.", "/"),
        ("", "/api/v1/.users", "/api/v1/"),
        ("", "/api%5cv1\\users/7", "/api/v1/users/"),
        ("h.test", "/api/v1/users/7", "/api/"),
        ("h.test", "/x", "/"),
        ("other.test", "/api/v1/x", "/api/v1/"),
    ],
)
def test_the_longest_path_is_taken(host: str, path: str, expected: str) -> None:
    found = TABLE.find(host, path)
    assert found is not None
    assert found.path == expected


@pytest.mark.parametrize(
    "path",
    [
        "/api/../x",
        "/api/v1/%2e%2e/x",
        "/api/..%2fx",
        "/a/..",
        "/a/.%2e/b",
        "/a/..;x/b",
        "/a/..%3Bx/b",
        "/a/%2e%2e%3b",
    ],
)
def test_a_path_that_leads_upward_is_refused(path: str) -> None:
    with pytest.raises(BadRequest, match="lead upward"):
        TABLE.find("", path)


def test_without_a_route_there_is_none() -> None:
    table = RouteTable([route("h.test", "/a")])
    assert table.find("", "/a") is None
    assert table.find("h.test", "/b") is None


SEGMENTS = st.lists(st.sampled_from(["api", "v1", "users", "login", "x", "logins", "v1x"]), max_size=5)


@given(SEGMENTS, st.booleans(), st.lists(st.booleans(), min_size=40, max_size=40))
def test_another_way_to_write_a_path_takes_the_same_route(
    segments: list[str], ends: bool, encoded: list[bool]
) -> None:
    """By an independent reading: the most segments of a route that the path begins with."""
    path = "/" + "/".join(segments) + ("/" if ends and segments else "")
    choices = iter(encoded)
    written = "".join(
        f"%{ord(sign):02X}"
        if next(choices, False)
        else "//"
        if sign == "/" and next(choices, False)
        else sign
        for sign in path
    )
    fitting = [
        one
        for _host, one in PATHS[:4]
        if [part for part in one.split("/") if part]
        == segments[: one.strip("/").count("/") + 1 if one != "/" else 0]
    ]
    found = TABLE.find("", written if written.startswith(("/", "%2F")) else path)
    assert found is not None
    assert found.path == max(fitting, key=len)


@pytest.mark.parametrize(
    ("upstream", "target", "url"),
    [("/base/", "/api/v1/x?y", "/base/api/v1/x?y"), ("/", "/x", "/x"), ("/b", "/", "/b/")],
)
def test_the_path_goes_below_the_upstreams_own(upstream: str, target: str, url: str) -> None:
    options = RouteOptions(members=(MemberOptions(url=Url("https", "up.test", 8443, upstream)),))
    assert Route("", "/", options).url_of(target) == Url("https", "up.test", 8443, url)
