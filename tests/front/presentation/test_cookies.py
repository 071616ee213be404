"""Cookies, as clients of each way in are shown them."""

import pytest

from pyproxycache.front.presentation.cookies import behind_prefix, below_upstream
from pyproxycache.rules.urls import parse_url

BASE = parse_url("http://h:81/dir/page?q")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a=1", "a=1; Path=/http://h:81/dir/"),
        ("a=1; Path=/", "a=1; Path=/http://h:81/"),
        ("a=1;path=/x;Path = /y ; HttpOnly", "a=1; HttpOnly; Path=/http://h:81/y"),
        ("a=1; Path=x; Secure", "a=1; Secure; Path=/http://h:81/dir/"),
        ("a=1; Domain=.h; Max-Age=9; DOMAIN=h", "a=1; Max-Age=9; Path=/http://h:81/dir/"),
        ('a="b=c"; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/', None),
        ("", "; Path=/http://h:81/dir/"),
    ],
)
def test_by_prefix_it_is_for_its_origin_alone(value: str, shown: str | None) -> None:
    shown = shown or 'a="b=c"; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/http://h:81/'
    assert behind_prefix(BASE)(value) == shown


@pytest.mark.parametrize(
    "path", ["/dir/a;Path=/;/page", "/dir/;Domain=example.org;Path=//page", "/dir/x;/y/z"]
)
def test_a_url_adds_no_attribute(path: str) -> None:
    assert behind_prefix(parse_url(f"http://h{path}"))("a=1") == "a=1; Path=/http://h/dir/"


def test_a_port_that_goes_without_saying() -> None:
    assert behind_prefix(parse_url("https://H/"))("a=1; Path=/") == "a=1; Path=/https://h/"


@pytest.mark.parametrize(
    ("upstream", "value", "shown"),
    [
        ("http://h/", "a=1; Domain=h; Path=/x", "a=1; Path=/x"),
        ("http://h/", "a=1; domain = .H", "a=1"),
        ("http://h/", "a=1; Domain=example.org", "a=1; Domain=example.org"),
        ("http://h/base/", "a=1; Path=/base/x; Secure", "a=1; Secure; Path=/x"),
        ("http://h/base", "a=1; Path=/base", "a=1; Path=/"),
        ("http://h/base", "a=1; Path=/base/", "a=1; Path=/"),
        ("http://h/base", "a=1; Path=/basement", "a=1; Path=/basement"),
        ("http://h/base", "a=1; Path=/", "a=1; Path=/"),
        ("http://h/base", "a=1", "a=1"),
    ],
)
def test_of_a_reverse_proxy(upstream: str, value: str, shown: str) -> None:
    assert below_upstream(parse_url(upstream))(value) == shown
