"""URLs, parsed and normalised, or refused with a reason."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.errors import BadRequest
from pyproxycache.rules.urls import parse_url
from pyproxycache.url import Url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://a", Url("http", "a", 80, "/")),
        ("HTTPS://A.Example/X", Url("https", "a.example", 443, "/X")),
        ("http://a:8080/", Url("http", "a", 8080, "/")),
        ("http://a:1/", Url("http", "a", 1, "/")),
        ("http://a:65535/", Url("http", "a", 65535, "/")),
        ("http://a:/", Url("http", "a", 80, "/")),
        ("https://a:443/", Url("https", "a", 443, "/")),
        ("http://a?q=1", Url("http", "a", 80, "/?q=1")),
        ("http://a/x?q=1#part", Url("http", "a", 80, "/x?q=1")),
        ("http://a#part", Url("http", "a", 80, "/")),
        ("http://a/%7Ex/../y//?a=%20&&b", Url("http", "a", 80, "/%7Ex/../y//?a=%20&&b")),
        ("http://a/http://b/", Url("http", "a", 80, "/http://b/")),
        ("http://a/x@y:z", Url("http", "a", 80, "/x@y:z")),
        ("http://[::1]/", Url("http", "::1", 80, "/")),
        ("http://[2001:DB8:0::1]:81/", Url("http", "2001:db8::1", 81, "/")),
        ("http://10.0.0.1/", Url("http", "10.0.0.1", 80, "/")),
        ("http://[::ffff:10.0.0.1]/", Url("http", "10.0.0.1", 80, "/")),
        ("http://10.1/", Url("http", "10.0.0.1", 80, "/")),
        ("http://0xA.0.257/", Url("http", "10.0.1.1", 80, "/")),
        ("http://012.0.0.1/", Url("http", "10.0.0.1", 80, "/")),
        ("http://167772161:81/", Url("http", "10.0.0.1", 81, "/")),
        ("http://0/", Url("http", "0.0.0.0", 80, "/")),
        ("http://256.0.0.1/", Url("http", "256.0.0.1", 80, "/")),
        ("http://1.2.3.256/", Url("http", "1.2.3.256", 80, "/")),
        ("http://4294967296/", Url("http", "4294967296", 80, "/")),
        ("http://08.0.0.1/", Url("http", "08.0.0.1", 80, "/")),
        ("http://1.2.3.4.5/", Url("http", "1.2.3.4.5", 80, "/")),
        ("http://0x/", Url("http", "0x", 80, "/")),
        ("http://10.0.0.1.example/", Url("http", "10.0.0.1.example", 80, "/")),
        ("http://my_host.example./", Url("http", "my_host.example.", 80, "/")),
    ],
)
def test_parse_url(text: str, url: Url) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not absolute"),
        ("/path", "not absolute"),
        ("//a/path", "not absolute"),
        ("http:/a", "not absolute"),
        ("a:80", "not absolute"),
        ("ftp://a/", "scheme is ftp"),
        ("http:///x", "no host"),
        ("http://:80/", "no host"),
        ("http://u@a/", "user name"),
        ("http://u:p@a/", "user name"),
        ("http://a:0/", "port is 0"),
        ("http://a:65536/", "port is 65536"),
        ("http://a:8x/", "port is not a number"),
        ("http://a:1234567/", "port is not a number"),
        ("http://a:80:80/", "cannot be told apart"),
        ("http://::1/", "cannot be told apart"),
        ("http://[::1/", "cannot be told apart"),
        ("http://[::1]x/", "cannot be told apart"),
        ("http://[]/", "no IPv6"),
        ("http://[a]/", "no IPv6"),
        ("http://[fe80::1%25eth0]/", "zone"),
        ("http://a..b/", "no valid name"),
        ("http://.a/", "no valid name"),
        ("http://a%62/", "no valid name"),
        ("http://a,b/", "no valid name"),
        ("http://" + "a" * 64 + "/", "no valid name"),
        ("http://" + "a." * 127 + "a/", "no valid name"),
        ("http://a/ ", "percent-encoded"),
        ("http://a/\r\nX: y", "percent-encoded"),
        ("http://a/\x7f", "percent-encoded"),
        ("http://a/é", "percent-encoded"),
        ("http://é/", "percent-encoded"),
    ],
)
def test_parse_url_refuses_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        parse_url(text)


@given(st.text() | st.text().map(lambda text: "http://" + text))
def test_any_text_is_a_url_or_a_bad_request(text: str) -> None:
    try:
        url = parse_url(text)
    except BadRequest:
        return
    assert parse_url(str(url)) == url


@given(st.lists(st.integers(0, 1 << 33), min_size=1, max_size=5), st.sampled_from(["{}", "{:#x}", "0{:o}"]))
def test_numbers_are_the_address_that_resolvers_read(numbers: list[int], form: str) -> None:
    name = ".".join(form.format(number) for number in numbers)
    try:
        address = socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        address = name
    assert parse_url(f"http://{name}/").host == address
