"""What `serve` says when it starts."""

import pytest

from pyproxycache.cli.serve import greeting
from pyproxycache.configuration.loading import parse


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


def test_the_greeting_of_a_proxy_for_users_names_what_they_may_use() -> None:
    told = greeting(parse("proxy_auth: {users: /users}", "proxy.yaml"))
    assert told[-1].startswith("use it in a shell:  export http_proxy=http://USER:PASSWORD@127.0.0.1:3128 ")
    told = greeting(parse("{listen: 'unix:/x', proxy_auth: {users: /users}}", "proxy.yaml"))
    assert len(told) == 2


@pytest.mark.parametrize(
    ("listen", "direct"),
    [
        ("127.0.0.1:1", "localhost,127.0.0.1"),
        ("0.0.0.0:1", "localhost,127.0.0.1"),
        ("192.0.2.7:1", "localhost,127.0.0.1,192.0.2.7"),
        ("'[::1]:1'", "localhost,127.0.0.1,::1"),
        ("':1'", "localhost,127.0.0.1,::1"),
        ("cache:1", "localhost,127.0.0.1,cache"),
    ],
)
def test_the_greeting_has_clients_ask_the_cache_itself_directly(listen: str, direct: str) -> None:
    """Else the next line of it is answered with 508."""
    told = "\n".join(greeting(parse(f"listen: {listen}", "proxy.yaml")))
    assert f" no_proxy={direct}\n" in told


TLS = "tls: {certificate: /c.pem, key: /k.pem}"


@pytest.mark.parametrize(
    ("listen", "listening", "used"),
    [
        (f"{{address: 'cache:1', {TLS}}}", "cache:1 (TLS)", "http_proxy=https://cache:1"),
        (
            f"[{{address: 'cache:1', {TLS}}}, 'cache:2']",
            "cache:1 (TLS), cache:2",
            "http_proxy=http://cache:2",
        ),
        (
            f"{{address: 'unix:/p', {TLS}}}",
            "unix:/p (TLS)",
            "--unix-socket /p https://cache/https://HOST/PATH",
        ),
    ],
)
def test_the_greeting_names_the_scheme(listen: str, listening: str, used: str) -> None:
    told = "\n".join(greeting(parse(f"listen: {listen}", "proxy.yaml")))
    assert told.startswith(f"pyproxycache listens on {listening}\n")
    assert used in told


def test_the_greeting_names_mirrors() -> None:
    told = greeting(parse("mirrors: {py: {ecosystem: pypi, upstream: 'http://up'}}", "proxy.yaml"))
    assert any(line.startswith("mirrors: py, at http://127.0.0.1:3128/NAME/ ") for line in told)
