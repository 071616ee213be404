"""Cache keys: the URL, its query as the rule says."""

import pytest

from pyproxycache.rules.cache_key import QueryMode, cache_key
from pyproxycache.rules.urls import parse_url


@pytest.mark.parametrize(
    ("text", "mode", "key"),
    [
        ("http://A:80/x?b=1&a=2", QueryMode.KEEP, "http://a/x?b=1&a=2"),
        ("http://a/x?b=1&a=2", QueryMode.IGNORE, "http://a/x"),
        ("http://a/x?b=1&a=2", QueryMode.SORT, "http://a/x?a=2&b=1"),
        ("http://a/x?b&a=2&a=1", QueryMode.SORT, "http://a/x?a=2&a=1&b"),
        ("http://a/x?a?b", QueryMode.IGNORE, "http://a/x"),
        ("http://a/x", QueryMode.SORT, "http://a/x"),
        ("http://a/x", QueryMode.IGNORE, "http://a/x"),
        ("http://a/x?", QueryMode.KEEP, "http://a/x?"),
        ("https://[::1]:8443/x", QueryMode.KEEP, "https://[::1]:8443/x"),
    ],
)
def test_cache_key(text: str, mode: QueryMode, key: str) -> None:
    assert cache_key(parse_url(text), mode) == key
