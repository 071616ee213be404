"""Repositories of RPM and Alpine packages behind mirrors, asked for as their clients ask: file by file."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable

import pytest
from harness import Proxy
from origin import Origin

MakeProxy = Callable[..., Proxy]
PACKAGE = b"\xed\xab\xee\xdb package" * 9000
HREF = "Packages/t/tiny-1.0~b1-1.noarch.rpm"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(origin: Origin, path: str, content: bytes) -> None:
    """As servers of repositories have files: with validators, and no Cache-Control."""
    origin.put(path, content, etag=f'"{sha256(content)[:8]}"', headers=[("Content-Type", "text/plain")])


def publish(origin: Origin, package: bytes = PACKAGE) -> str:
    """Puts a repository of one package there; gives the path of its primary.xml."""
    primary = gzip.compress(
        b'<metadata xmlns="http://linux.duke.edu/metadata/common" packages="1"><package type="rpm">'
        b'<name>tiny</name><version epoch="0" ver="1.0~b1" rel="1"/><checksum type="sha256" pkgid="YES">'
        + sha256(package).encode()
        + f'</checksum><location href="{HREF}"/></package></metadata>'.encode(),
        mtime=0,
    )
    name = f"repodata/{sha256(primary)}-primary.xml.gz"
    repomd = (
        f'<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"><checksum type="sha256">'
        f'{sha256(primary)}</checksum><location href="{name}"/></data></repomd>'
    )
    put(origin, "/rpms/repodata/repomd.xml", repomd.encode())
    put(origin, f"/rpms/{name}", primary)
    return name


@pytest.fixture
def cache(make_proxy: MakeProxy, origin: Origin) -> Proxy:
    mirrors = {
        "rpms": {"ecosystem": "dnf", "upstream": origin.url("/rpms/")},
        "alpine": {"ecosystem": "apk", "upstream": origin.url("/alpine/")},
    }
    return make_proxy(workers=2, config={"mirrors": mirrors})


def test_an_rpm_repository_without_its_origin(cache: Proxy, origin: Origin) -> None:
    primary = publish(origin)
    put(origin, f"/rpms/{HREF}", PACKAGE)
    names = ["repodata/repomd.xml", primary, HREF]
    first = [cache.get(f"/rpms/{name}") for name in names]
    assert [reply.status for reply in first] == [200, 200, 200]
    assert first[2].body == PACKAGE
    assert first[1].get("Content-Length") == str(len(first[1].body))
    origin.stop()
    assert [cache.get(f"/rpms/{name}").body for name in names] == [reply.body for reply in first]


def test_an_rpm_that_is_not_what_the_metadata_states(cache: Proxy, origin: Origin) -> None:
    primary = publish(origin)
    put(origin, f"/rpms/{HREF}", PACKAGE[:-1] + b"?")
    for name in ("repodata/repomd.xml", primary):
        assert cache.get(f"/rpms/{name}").status == 200
    refused = cache.get(f"/rpms/{HREF}")
    assert refused.status == 502 or not refused.complete
    put(origin, f"/rpms/{HREF}", PACKAGE)
    assert cache.get(f"/rpms/{HREF}").body == PACKAGE
    assert "stated digest (sha-256)" in cache.log()


def test_an_rpm_that_is_built_anew_under_its_name(cache: Proxy, origin: Origin) -> None:
    """What is stored under the name is forgotten once the metadata states another digest."""
    put(origin, f"/rpms/{HREF}", PACKAGE)
    for package in (PACKAGE, PACKAGE + b"anew"):
        primary = publish(origin, package)
        put(origin, f"/rpms/{HREF}", package)
        assert cache.get(f"/rpms/{primary}").status == 200
        for _ in range(2):
            assert cache.get(f"/rpms/{HREF}").body == package
    assert origin.count(f"/rpms/{HREF}") == 2


def test_an_alpine_repository_without_its_origin(cache: Proxy, origin: Origin) -> None:
    files = {"APKINDEX.tar.gz": gzip.compress(b"index", mtime=0), "tiny-1.0-r0.apk": PACKAGE}
    for name, content in files.items():
        put(origin, f"/alpine/v3/main/x86_64/{name}", content)
    for _ in range(2):
        for name, content in files.items():
            reply = cache.get(f"/alpine/v3/main/x86_64/{name}")
            assert (reply.status, reply.body) == (200, content)
        assert len(origin.requests) == 2
        origin.stop()
