"""Ruby gems: the compact index, and paths."""

from __future__ import annotations

import pytest
from path_policies import kept
from reading import shown

from pyproxycache.mirrors.ecosystems.rubygems import RUBYGEMS
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

DIGEST, OTHER = "ab" * 32, "CD" * 32


@pytest.mark.parametrize("size", range(1, 10))
def test_a_gem(size: int) -> None:
    text = (
        "---\n"
        f"1.0.0 |checksum:{DIGEST}\n"
        f"1.1.0.pre-x86_64-linux a:>= 1.0&< 3,b:~> 2.0|ruby:>= 2.6,checksum:{OTHER},rubygems:> 1.3.1\r\n"
        "0.9 a:>= 0|ruby:> 1\n"
        f"0.8 |checksum:{DIGEST[1:]}\n"
        f"0.7 checksum:{DIGEST}\n"
    ).encode()
    found = shown(RUBYGEMS, "info/a.b-c_d", "text/plain", text, size=size)
    assert found.text == text
    base = "https://index.test/gems/a.b-c_d-"

    def expected(digest: str) -> tuple[ExpectedDigest]:
        return (ExpectedDigest("checksum", "sha-256", digest.lower()),)

    assert found.named == [
        NamedFile(f"{base}1.0.0.gem", expected(DIGEST), "a.b-c_d", "1.0.0"),
        NamedFile(f"{base}1.1.0.pre-x86_64-linux.gem", expected(OTHER), "a.b-c_d", "1.1.0.pre"),
    ]


@pytest.mark.parametrize("path", ["info/a%2f..%2fb", "info/%00", "info/a b"])
def test_what_is_no_name_of_a_gem(path: str) -> None:
    assert shown(RUBYGEMS, path, "", f"1.0 |checksum:{DIGEST}\n".encode()).named == []


def test_below_a_path() -> None:
    found = shown(
        RUBYGEMS, "info/a", "", f"1.0 |checksum:{DIGEST}".encode(), base="https://up.test/x/info/"
    )
    assert [one.url for one in found.named] == ["https://up.test/x/info/gems/a-1.0.gem"]


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("gems/a-1.0.0.gem", "immutable"),
        ("quick/Marshal.4.8/a-1.0.0.gemspec.rz", "immutable"),
        ("", "3600"),
        ("versions", "60"),
        ("names", "60"),
        ("info/a", "60"),
        ("specs.4.8.gz", "300"),
        ("prerelease_specs.4.8.gz", "300"),
        ("latest_specs.4.8", "300"),
        ("api/v1/dependencies", "no store"),
        ("gems/a", ""),
    ],
)
def test_paths(path: str, how: str) -> None:
    assert kept(RUBYGEMS, path) == how


@pytest.mark.parametrize(
    ("path", "is_so"), [("", True), ("versions", True), ("info/a", False), ("x", False)]
)
def test_heads_are_asked_for_by_get(path: str, is_so: bool) -> None:
    assert RUBYGEMS.heads_by_get(path) is is_so
