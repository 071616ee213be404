"""Where a cache is reached, from what it listens on and from what a user wrote."""

from pathlib import Path

import pytest

from pyproxycache.cli.address import CacheAddress, cache_url, usable_address, usable_listener
from pyproxycache.errors import BadRequest
from pyproxycache.options import ListenerOptions, TlsOptions
from pyproxycache.rules.urls import parse_url


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (("127.0.0.1:3128",), "127.0.0.1:3128"),
        (("0.0.0.0:80",), "127.0.0.1:80"),
        (("[::]:3128",), "[::1]:3128"),
        (("[2001:db8::1]:3128",), "[2001:db8::1]:3128"),
        (("unix:/run/x.sock", "localhost:1"), "localhost:1"),
        (("192.0.2.7:1", "127.0.0.1:2"), "192.0.2.7:1"),
    ],
)
def test_usable_address(listen: tuple[str, ...], address: str) -> None:
    assert usable_address(listen) == address


TLS = TlsOptions(certificate=Path("/c.pem"), key=Path("/k.pem"))


@pytest.mark.parametrize(
    ("listen", "used"),
    [
        ((("h:1", None),), 0),
        ((("h:1", TLS), ("h:2", None)), 1),
        ((("h:1", TLS), ("h:2", TLS)), 0),
        ((("unix:/p", None), ("h:2", TLS)), 1),
        ((("unix:/p", TLS), ("unix:/q", None)), 1),
    ],
)
def test_a_listener_to_use(listen: tuple[tuple[str, TlsOptions | None], ...], used: int) -> None:
    listeners = tuple(ListenerOptions(address=address, tls=tls) for address, tls in listen)
    assert usable_listener(listeners) is listeners[used]


def test_no_address_to_connect_to() -> None:
    assert usable_address(("unix:/run/x.sock",)) is None


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("cache:3128", "http://cache:3128"),
        (":3128", "http://127.0.0.1:3128"),
        ("0.0.0.0:3128", "http://127.0.0.1:3128"),
        ("[::1]:3128", "http://[::1]:3128"),
        ("http://cache:3128", "http://cache:3128"),
        ("http://cache:3128/", "http://cache:3128"),
        ("https://cache.example.org/", "https://cache.example.org"),
    ],
)
def test_cache_url(text: str, url: str) -> None:
    assert cache_url(text) == url


@pytest.mark.parametrize(
    "text", ["3128", "cache", "", "http://", "http://cache/path", "ftp://cache", "unix:/x", ":x"]
)
def test_no_cache_url(text: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:3128|http://host:port"):
        cache_url(text)


@pytest.mark.parametrize("text", ["http://user:secret@cache:3128", "user:secret@cache:3128"])
def test_a_password_for_the_cache_is_in_no_message(text: str) -> None:
    with pytest.raises(ValueError, match="user names and passwords") as caught:
        cache_url(text)
    assert "secret" not in str(caught.value)


CACHE = "http://127.0.0.1:3128"


@pytest.mark.parametrize(
    ("upstream", "url", "address"),
    [
        (None, "http://h/a?b", f"{CACHE}/http%3A%2F%2Fh%2Fa%3Fb"),
        (None, "https://u:p@h/a", f"{CACHE}/https%3A%2F%2Fu%3Ap%40h%2Fa"),
        ("https://h", "https://h/a?b", f"{CACHE}/a?b"),
        ("https://h", "https://H:443", f"{CACHE}/"),
        ("https://h/base/", "https://h/base/a", f"{CACHE}/a"),
        ("https://h/base", "https://h/base/", f"{CACHE}/"),
    ],
)
def test_how_a_cache_is_asked(upstream: str | None, url: str, address: str) -> None:
    assert CacheAddress(CACHE, parse_url(upstream) if upstream else None).address_of(url) == address


@pytest.mark.parametrize(
    "url", ["https://other/a", "http://h/base/a", "https://h/", "https://h/basement", "a"]
)
def test_what_a_reverse_proxy_does_not_have(url: str) -> None:
    with pytest.raises(BadRequest):
        CacheAddress(CACHE, parse_url("https://h/base")).address_of(url)
