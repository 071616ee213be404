"""What a request-target asks for."""

import pytest

from pyproxycache.errors import BadRequest, Misdirected, NotImplementedHere, ProxyError
from pyproxycache.front.requests.target import (
    Local,
    Wanted,
    Way,
    decoded_url,
    locate,
    locate_instead,
    locate_redirected,
    quoted_url,
    tunnel_end,
)
from pyproxycache.rules.urls import parse_url
from pyproxycache.url import Authority, Url


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("http://h/p?q", "http://h/p?q"),
        ("HTTPS://H:443/p", "https://h/p"),
        ("http://h", "http://h/"),
        ("http://[::1]:8080/p", "http://[::1]:8080/p"),
        ("http://h/https://i/", "http://h/https://i/"),
        ("/http://h/p?q", "http://h/p?q"),
        ("/https://h/p?a=/http://i/", "https://h/p?a=/http://i/"),
        ("/HTTPS://h/p", "https://h/p"),
        ("/https:/h/p", "https://h/p"),
        ("/https%3A/h%3A81/p%3A", "https://h:81/p%3A"),
        ("/http%3a//h/p", "http://h/p"),
        ("/https://h", "https://h/"),
        ("/https://[::1]:81/p", "https://[::1]:81/p"),
        ("/https%3A%2F%2Fh%2Fp", "https://h/p"),
        ("/https%3a%2f%2fh%2fp%3Fq%3D1", "https://h/p?q=1"),
        ("/https:%2F%2Fh/p/x", "https://h/p/x"),
        ("/https%3A%2F%2Fh%2Fp?q=%2F", "https://h/p?q=%2F"),
        ("/https%3A%2F%2Fh%2Fa%2520b", "https://h/a%20b"),
        ("/https%3A%2F%2Fh%2Fa%20b%C3%A9%FF", "https://h/a%20b%C3%A9%FF"),
        ("/https%3A%2F%2Fh%2Fp%23part", "https://h/p"),
        ("/https%3A%2F%2Fh%2F~a%7Eb%252F", "https://h/~a~b%2F"),
    ],
)
def test_url(target: str, url: str) -> None:
    found = locate(target, None)
    assert isinstance(found, Wanted)
    assert (str(found.url), found.userinfo) == (url, "")
    assert found.way is (Way.PREFIX if target.startswith("/") else Way.PROXY)


@pytest.mark.parametrize(
    ("target", "url", "userinfo"),
    [
        ("http://user:s3cret@h/p?q", "http://h/p?q", "user:s3cret"),
        ("http://user@h:81/", "http://h:81/", "user"),
        ("http://@h/", "http://h/", ""),
        ("http://a@b:c@[::1]/", "http://[::1]/", "a@b:c"),
        ("http://h/p@x:y", "http://h/p@x:y", ""),
        ("http://h?a@b", "http://h/?a@b", ""),
        ("/http://user:s3cret@h/p", "http://h/p", "user:s3cret"),
        ("/https:/user:s3cret@h/p", "https://h/p", "user:s3cret"),
        ("/https%3A/user%3As3cret@h%3A81/p", "https://h:81/p", "user:s3cret"),
        ("/http://user:s3%3Acret@h%3A81/p", "http://h:81/p", "user:s3%3Acret"),
        ("/https%3A%2F%2Fuser%3As3%2540cret%40h%2F", "https://h/", "user:s3%40cret"),
    ],
)
def test_user_and_password(target: str, url: str, userinfo: str) -> None:
    found = locate(target, None)
    assert isinstance(found, Wanted)
    assert (str(found.url), found.userinfo) == (url, userinfo)


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("/", Local("/", "")),
        ("*", Local("*", "")),
        ("/api/v1/fetch/?url=http://h/&ttl=1d", Local("/api/v1/fetch/", "url=http://h/&ttl=1d")),
        ("/a?b?c", Local("/a", "b?c")),
        ("/a?", Local("/a", "", has_empty_query=True)),
        ("/httpx://h/", Local("/httpx://h/", "")),
        ("/http", Local("/http", "")),
        ("/https:///h", Local("/https:///h", "")),
        ("/ftp://h/", Local("/ftp://h/", "")),
    ],
)
def test_resource_of_the_cache_itself(target: str, local: Local) -> None:
    assert locate(target, None) == local


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("ftp://h/", NotImplementedHere),
        ("h:80", BadRequest),
        ("nonsense", BadRequest),
        ("", BadRequest),
        ("http://", BadRequest),
        ("http://user:s3cret@/", BadRequest),
        ("http://user:s3cret@h:port/", BadRequest),
        ("/http://user:s3/cret@h/", BadRequest),
        ("http://h:0/", BadRequest),
        ("http://h:99999/", BadRequest),
        ("http://h h/", BadRequest),
        ("/https:/", BadRequest),
        ("/https%3A%2F%2F", BadRequest),
        ("/https%3A%2F%2Fh%0Ai%2F", BadRequest),
    ],
)
def test_no_target(target: str, error: type[ProxyError]) -> None:
    with pytest.raises(error) as raised:
        locate(target, None)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("upstream", "target", "url"),
    [
        ("http://h", "/", "http://h/"),
        ("http://h", "/p?q", "http://h/p?q"),
        ("http://h", "/http://i/p", "http://h/http://i/p"),
        ("http://h", "http://i/p?q", "http://h/p?q"),
        ("http://h", "*", "http://h/"),
        ("http://h", "/../p", "http://h/../p"),
        ("http://h", "/p#part", "http://h/p"),
        ("https://h:8443/base", "/p", "https://h:8443/base/p"),
        ("https://h/base/", "/", "https://h/base/"),
        ("https://h/base/", "/..x/x..", "https://h/base/..x/x.."),
        ("https://h/base/", "/p?/../", "https://h/base/p?/../"),
    ],
)
def test_below_an_upstream(upstream: str, target: str, url: str) -> None:
    found = locate(target, parse_url(upstream))
    assert isinstance(found, Wanted)
    assert (str(found.url), found.way) == (url, Way.REVERSE)


@pytest.mark.parametrize(
    "target", ["p", "h:80", "/..", "/../p", "/p/../..", "/%2e./p", "/p%2F..%2F", "/..;x/p", "/..%5Cp"]
)
def test_not_below_the_upstream(target: str) -> None:
    with pytest.raises(BadRequest):
        locate(target, parse_url("http://h/base/"))


HERE = parse_url("https://name.example/")
ELSEWHERE = parse_url("https://[2001:db8::1]:8443/")


@pytest.mark.parametrize(
    ("origin", "target", "host", "url"),
    [
        (HERE, "/a?b", "name.example", "https://name.example/a?b"),
        (HERE, "/a", "NAME.Example.:443", "https://name.example/a"),
        (HERE, "/a#b", "", "https://name.example/a"),
        (HERE, "*", "name.example", "https://name.example*"),
        (HERE, "//other.example/a", "name.example", "https://name.example//other.example/a"),
        (HERE, "/http://other.example/", "name.example", "https://name.example/http://other.example/"),
        (HERE, "https://name.example/a", "name.example", "https://name.example/a"),
        (HERE, "HTTPS://name.example:443", "", "https://name.example/"),
        (ELSEWHERE, "/", "[2001:DB8:0::1]:8443", "https://[2001:db8::1]:8443/"),
        (ELSEWHERE, "/", "[2001:db8::1]", "https://[2001:db8::1]:8443/"),
    ],
)
def test_of_the_origin_that_the_cache_stands_in_for(origin: Url, target: str, host: str, url: str) -> None:
    found = locate_instead(target, host, origin)
    assert (str(found.url), found.way) == (url, Way.INSTEAD)


@pytest.mark.parametrize(
    ("target", "host", "error"),
    [
        ("/", "other.example", Misdirected),
        ("/", "name.example:80", Misdirected),
        ("http://name.example/", "name.example", Misdirected),
        ("https://other.example/", "name.example", Misdirected),
        ("https://name.example:444/", "name.example", Misdirected),
        ("ftp://name.example/", "name.example", BadRequest),
        ("a", "name.example", BadRequest),
        ("/", "name.example:0", BadRequest),
        ("/", "a b", BadRequest),
    ],
)
def test_of_another_origin(target: str, host: str, error: type[ProxyError]) -> None:
    with pytest.raises(error):
        locate_instead(target, host, HERE)


def test_forms_of_a_url() -> None:
    assert str(decoded_url("http%3A%2F%2Fh%2Fa%20b", "?c").url) == "http://h/a%20b?c"
    assert str(quoted_url("http://h/a b|\xc3\xa9%20+").url) == "http://h/a%20b%7C%C3%A9%20+"


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("h:443", "h", 443),
        ("H.Example:80", "h.example", 80),
        ("h.:1", "h.", 1),
        ("192.0.2.1:65535", "192.0.2.1", 65535),
        ("[2001:DB8:0::1]:443", "2001:db8::1", 443),
        ("a_b-c:00443", "a_b-c", 443),
    ],
)
def test_the_end_of_a_tunnel(target: str, host: str, port: int) -> None:
    end = tunnel_end(target)
    assert end == Authority(host, port)
    assert tunnel_end(str(end)) == end


@pytest.mark.parametrize(
    "target",
    [
        *("h", "h:", ":443", ":", "", "h:0", "h:65536", "h:70000", "h:123456", "h:+1", "h:-1", "h:https"),
        *("h:443/", "h:443?", "h:443#", "http://h:443", "/h:443", "*", "u@h:443", "u:p@h:443", "h:1:2"),
        *("::1:443", "[::1]", "[::1]:", "[::1:443", "[h]:443", "[fe80::1%eth0]:443", "[::1]x:443"),
        *("h h:443", "h\t:443", "h\xe9:443", "-.-..:443", "a..b:443", "a" * 300 + ":443"),
    ],
)
def test_what_is_no_end_of_a_tunnel(target: str) -> None:
    with pytest.raises(BadRequest, match="host and a port"):
        tunnel_end(target)


@pytest.mark.parametrize(
    ("target", "host", "url"),
    [
        ("/p?q", "Name.example", "http://name.example:8080/p?q"),
        ("/p", "name.example:8080", "http://name.example:8080/p"),
        ("/p", "name.example:81", "http://name.example:81/p"),
        ("/p", "name.example:80", "http://name.example/p"),
        ("/p", "[2001:DB8::1]", "http://[2001:db8::1]:8080/p"),
        ("/p", "", "http://192.0.2.1:8080/p"),
        ("/http://other.example/p", "name.example", "http://name.example:8080/http://other.example/p"),
        ("/p#part", "name.example", "http://name.example:8080/p"),
        ("*", "name.example", "http://name.example:8080*"),
        ("http://name.example:8080/p", "other.example", "http://name.example:8080/p"),
        ("HTTP://name.example", "", "http://name.example/"),
    ],
)
def test_what_is_wanted_of_where_the_connection_was_made_to(target: str, host: str, url: str) -> None:
    found = locate_redirected(target, host, Authority("192.0.2.1", 8080))
    assert (str(found.url), found.way) == (url, Way.INSTEAD)


@pytest.mark.parametrize(
    ("target", "host", "error"),
    [
        ("https://name.example/", "name.example", Misdirected),
        ("ftp://name.example/", "name.example", BadRequest),
        ("name.example:443", "name.example", BadRequest),
        ("/", "name.example:0", BadRequest),
        ("/", "a b", BadRequest),
        ("http:///", "name.example", BadRequest),
    ],
)
def test_what_no_redirected_connection_is_for(target: str, host: str, error: type[ProxyError]) -> None:
    with pytest.raises(error):
        locate_redirected(target, host, Authority("192.0.2.1", 80))
