"""Maven repositories: paths, and the files of digests beside artefacts."""

from __future__ import annotations

import pytest
from path_policies import kept
from reading import shown

from pyproxycache.mirrors.ecosystems.maven import MAVEN
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

JAR = "org/test/tiny/1.0/tiny-1.0.jar"
SHA1 = "aB" * 20


@pytest.mark.parametrize(
    ("suffix", "algorithm", "digest"),
    [
        ("md5", "md5", "0" * 32),
        ("sha1", "sha", SHA1),
        ("sha256", "sha-256", "c" * 64),
        ("sha512", "sha-512", "d" * 128),
    ],
)
@pytest.mark.parametrize("text", ["{}", "{}\n", "  {}  tiny-1.0.jar\n", "{} " + "x" * 10_000])
@pytest.mark.parametrize("size", [1, 9, 1000])
def test_digests(suffix: str, algorithm: str, digest: str, text: str, size: int) -> None:
    content = text.format(digest).encode()
    found = shown(MAVEN, f"{JAR}.{suffix}", "text/plain", content, size=size)
    assert found.text == content
    expected = ExpectedDigest(f".{suffix}", algorithm, digest.lower())
    assert found.named == [NamedFile(f"https://index.test/{JAR}", (expected,), "tiny", "1.0")]


@pytest.mark.parametrize("text", ["", "x", SHA1[:-1], f"{SHA1}0", f"x{SHA1}", f"<html>{SHA1}"])
def test_what_states_no_digest(text: str) -> None:
    found = shown(MAVEN, f"{JAR}.sha1", "application/octet-stream", text.encode())
    assert (found.text, found.named) == (text.encode(), [])


@pytest.mark.parametrize(
    "path",
    [
        JAR,
        "org/test/tiny/maven-metadata.xml.sha1",
        "org/test/tiny/1.0-SNAPSHOT/tiny-1.0-SNAPSHOT.jar.sha1",
        "org/test/tiny/1.0/other-1.0.jar.sha1",
        "tiny/1.0/tiny-1.0.jar.sha1",
    ],
)
def test_what_is_no_digest_of_a_release(path: str) -> None:
    assert MAVEN.document(path, "text/plain") is None


def test_a_page_is_no_digest() -> None:
    assert MAVEN.document(f"{JAR}.sha1", "text/html") is None


@pytest.mark.parametrize(
    ("path", "how"),
    [
        (JAR, "immutable"),
        ("org/test/tiny/1.0/tiny-1.0-sources.jar.asc", "immutable"),
        ("org/test/tiny/1.0/tiny-1.0.pom.sha512", "immutable"),
        ("org/test/tiny/1.0/tiny-1.01.jar", ""),
        ("org/test/tiny/maven-metadata.xml", "300"),
        ("org/test/tiny/maven-metadata-central.xml.sha1", "300"),
        ("org/test/tiny/1.0-SNAPSHOT/maven-metadata.xml.md5", "300"),
        ("org/test/tiny/1.0-SNAPSHOT/tiny-1.0-SNAPSHOT.jar", "300"),
        ("org/test/tiny/1.0-SNAPSHOT/tiny-1.0-20261101.100000-1.jar", "300"),
        ("archetype-catalog.xml", ""),
    ],
)
def test_paths(path: str, how: str) -> None:
    assert kept(MAVEN, path) == how


def test_long_paths_cost_little() -> None:
    assert kept(MAVEN, "a/" * 8000) == kept(MAVEN, "a" * 16_000) == kept(MAVEN, "a-" * 8000 + "/a") == ""
