"""A mirror of a Maven repository, with mvn itself."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Proxy
from language_clients import put_validated, ran, require, words, write
from maven_repository import PROJECT, VALIDATE, jar, put_repository
from origin import Origin

MakeProxy = Callable[..., Proxy]
JAR = "/up/org/test/ext/1.5/ext-1.5.jar"
METADATA = "/up/org/test/parent/maven-metadata.xml"


@pytest.fixture
def cache(make_proxy: MakeProxy, origin: Origin) -> Proxy:
    """In front of a parent of projects, found by its metadata, and of an extension of their build."""
    put_repository(origin, "/up/")
    return make_proxy(config={"mirrors": {"mvn": {"ecosystem": "maven", "upstream": origin.url("/up/")}}})


def maven(folder: Path, cache: Proxy) -> subprocess.CompletedProcess[str]:
    """Maven checks a project that needs both, by no plugin, and takes no file of another digest."""
    require("mvn")
    mirror = f"<mirror><id>cache</id><mirrorOf>*</mirrorOf><url>{cache.url}/mvn/</url></mirror>"
    settings = f"<settings><mirrors>{mirror}</mirrors></settings>"
    write(folder, {"pom.xml": PROJECT, "settings.xml": settings})
    return ran(VALIDATE, folder)


def test_maven_downloads_twice(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    """The second time with the upstream stopped."""
    first = maven(tmp_path / "first", cache)
    assert first.returncode == 0, words(first)
    assert [origin.count(path) for path in (JAR, f"{JAR}.sha1", METADATA)] == [1, 1, 1]
    origin.stop()
    second = maven(tmp_path / "second", cache)
    assert second.returncode == 0, words(second)
    assert (tmp_path / "second/repository/org/test/ext/1.5/ext-1.5.jar").read_bytes() == jar("1")
    assert cache.get(origin.url(JAR)).body == jar("1")


def test_maven_refuses_another_artefact(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    put_validated(origin, JAR, jar("poisoned"))
    done = maven(tmp_path / "poisoned", cache)
    assert done.returncode != 0, words(done)
    assert "org.test:ext:jar:1.5" in done.stdout, words(done)


def test_digests_stay_as_they_are(cache: Proxy, origin: Origin) -> None:
    told = cache.get("/mvn/org/test/ext/1.5/ext-1.5.jar.sha1")
    direct = cache.get(origin.url(f"{JAR}.sha1"))
    assert (told.body, told.get("ETag"), told.get("Content-Length")) == (
        direct.body,
        direct.get("ETag"),
        "40",
    )
    assert origin.count(f"{JAR}.sha1") == 1


def test_what_is_absent_is_asked_for_again_after_a_minute(cache: Proxy, origin: Origin) -> None:
    for _ in range(2):
        assert cache.get("/mvn/org/test/none/1/none-1.jar").status == 404
    assert origin.count("/up/org/test/none/1/none-1.jar") == 1


@pytest.mark.parametrize("suffix", ["sha1", "md5", "sha256"])
def test_another_artefact_is_not_stored(cache: Proxy, origin: Origin, suffix: str) -> None:
    """Where a client has asked for its digest before; else it is forgotten once one does."""
    digest, path = hashlib.new(suffix, jar("1")).hexdigest(), "/mvn/org/test/ext/1.5/ext-1.5.jar"
    put_validated(origin, f"{JAR}.{suffix}", digest.encode())
    put_validated(origin, JAR, jar("poisoned"))
    assert cache.get(path).body == jar("poisoned")
    assert cache.get(f"{path}.{suffix}").body.decode() == digest
    assert cache.get(path).status == 502
    put_validated(origin, JAR, jar("1"))
    for _ in range(2):
        assert cache.get(path).body == jar("1")


@pytest.mark.parametrize("field", ["X-Checksum-Sha1", "X-Checksum-Md5", "X-Checksum-Sha256"])
def test_what_the_repository_says_of_an_artefact_is_checked(
    cache: Proxy, origin: Origin, field: str
) -> None:
    """Before any client asks for the file of its digest."""
    digest = hashlib.new(field.rpartition("-")[2].lower(), jar("1")).hexdigest()
    path = "/mvn/org/test/ext/1.5/ext-1.5.jar"
    origin.put(JAR, jar("poisoned"), headers=[(field, digest)], etag='"poisoned"')
    assert cache.get(path).status == 502
    origin.put(JAR, jar("1"), headers=[(field, digest)], etag='"right"')
    for _ in range(2):
        assert cache.get(path).body == jar("1")
