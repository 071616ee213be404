"""Patterns of hosts, and which hosts fit them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxycache.rules.host_patterns import HostPatterns, host_pattern


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("*", "*"),
        ("example.org", "example.org"),
        ("Example.ORG.", "example.org"),
        (".Example.org", ".example.org"),
        ("localhost", "localhost"),
        (".local", ".local"),
        ("my_host.example", "my_host.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        (".BÜCHER.example.", ".xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[::1]", "::1"),
        ("a" * 63 + ".b", "a" * 63 + ".b"),
    ],
)
def test_as_it_is_compared(written: str, pattern: str) -> None:
    assert host_pattern(written) == pattern
    assert host_pattern(pattern) == pattern


@pytest.mark.parametrize(
    "written",
    [
        "",
        ".",
        "..",
        "**",
        "*.example.org",
        "..example.org",
        "a..b",
        "example.org..",
        "a b",
        "a:443",
        "http://a",
        "a/",
        "user@a",
        "-a.example",
        "a-.example",
        "a" * 64,
        "a." * 127 + "a",
        "127.1",
        "10.0.0.0/8",
        ".0.0.1",
        "0x7f000001",
        ".192.0.2.1",
        "[a]",
        "\N{SNOWMAN}.example",
        "ü..example",
        "a\n",
    ],
)
def test_what_is_none(written: str) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        host_pattern(written)


@pytest.mark.parametrize(
    ("patterns", "fitting", "others"),
    [
        (["*"], ["a", "a.b", "::1", "192.0.2.1", "[::1]"], []),
        ([], [], ["a", "", "::1"]),
        (["example.org"], ["example.org", "EXAMPLE.org", "example.org."], ["a.example.org", "org", ""]),
        (
            [".example.org"],
            ["example.org", "a.example.org", "A.b.Example.ORG."],
            ["xexample.org", "example.org.a", "org", "example.org..", ".", ""],
        ),
        (["192.0.2.1"], ["192.0.2.1"], ["192.0.2.2", "1.192.0.2.1", "192.0.2.1.example"]),
        (["2001:db8::1"], ["2001:db8::1", "2001:DB8:0:0::1", "[2001:db8::1]"], ["2001:db8::2"]),
        (["b.example", ".a.example", "::1"], ["b.example", "x.a.example", "::1"], ["x.b.example"]),
        (["xn--bcher-kva.example"], ["XN--bcher-kva.example"], ["bcher.example"]),
    ],
)  # fmt: skip
def test_fits(patterns: list[str], fitting: list[str], others: list[str]) -> None:
    hosts = HostPatterns(patterns)
    assert [host for host in [*fitting, *others] if hosts.fits(host)] == fitting


@given(st.text())
def test_any_text_is_a_pattern_or_none(text: str) -> None:
    try:
        pattern = host_pattern(text)
    except ValueError:
        return
    assert host_pattern(pattern) == pattern
    if pattern != "*":
        assert HostPatterns([pattern]).fits(pattern.removeprefix("."))
        assert not HostPatterns([pattern]).fits("another.invalid")


@given(
    st.lists(st.sampled_from(["a", "b", "org"]), min_size=1, max_size=4),
    st.sampled_from(["a.org", "org", "b.a"]),
)
def test_a_domain_is_its_name_and_all_below(labels: list[str], domain: str) -> None:
    host = ".".join(labels)
    below = labels[-len(domain.split(".")) :] == domain.split(".")
    assert HostPatterns(["." + domain]).fits(host) == below
    assert HostPatterns([domain]).fits(host) == (host == domain)
