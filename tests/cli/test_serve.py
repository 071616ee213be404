"""What `serve` says when it starts."""

import pytest

from pyproxycache.cli.serve import greeting
from pyproxycache.configuration.config import parse


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("", False),
        ("listen: ['localhost:1', '[::1]:1', 'unix:/x']", False),
        ("listen: 0.0.0.0:1", True),
        ("listen: ':1'", True),
        ("listen: ['127.0.0.1:1', '192.0.2.1:1']", True),
        ("{listen: '0.0.0.0:1', allow: 192.0.2.0/24}", False),
        ("{listen: '0.0.0.0:1', upstream: 'http://h'}", True),
    ],
)
def test_who_is_answered(text: str, alone: bool) -> None:
    lines = greeting(parse(text, "proxy.yaml"))
    assert any(line.startswith("clients: those on this machine alone") for line in lines) == alone


def test_the_greeting_names_the_proxy_for_both_schemes() -> None:
    """A client that is told of one alone goes past the cache, or not at all, with the other."""
    told = "\n".join(greeting(parse("listen: ['127.0.0.1:3128']", "proxy.yaml")))
    assert "http_proxy=http://127.0.0.1:3128" in told
    assert "https_proxy=http://127.0.0.1:3128" in told
