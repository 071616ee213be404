"""Releases: their files by the mirror's links, and which paths change how often."""

from __future__ import annotations

import json
from typing import Any

import pytest
from path_policies import kept
from reading import shown

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.ecosystems.github import GITHUB
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

SHA256, COMMIT = "ab" * 32, "0a" * 20
FILE = "https://hub.test/o/r/releases/download/v1/x/f-1.tar.gz"
JSON = "application/json"


def asset(download: str = FILE, mirror: str = "", **more: Any) -> dict[str, Any]:
    url = f"{mirror}https://index.test/repos/o/r/releases/assets/1"
    return {"url": url, "browser_download_url": mirror + download, "digest": f"sha256:{SHA256}", **more}


def release(*assets: Any) -> dict[str, Any]:
    return {"tag_name": "v1", "assets": [*assets], "author": {"login": "a"}, "tarball_url": FILE}


@pytest.mark.parametrize("size", range(1, 10))
@pytest.mark.parametrize(
    ("path", "text", "changed"),
    [
        ("", [release(asset(), asset())], [release(asset(mirror="mirror:"), asset(mirror="mirror:"))]),
        ("/latest", release(asset()), release(asset(mirror="mirror:"))),
        ("/tags/v1", release(asset()), release(asset(mirror="mirror:"))),
        ("/17", release(), release()),
        ("/17/assets", [asset()], [asset(mirror="mirror:")]),
    ],
)
def test_files_of_releases(path: str, text: Any, changed: Any, size: int) -> None:
    document = json.dumps(text).encode()
    found = shown(GITHUB, f"repos/o/r/releases{path}", JSON, document, size=size)
    assert json.loads(found.text) == changed
    file = NamedFile(FILE, (ExpectedDigest("asset's digest", "sha-256", SHA256),), "o/r", "v1/x")
    assert found.named == [file] * document.count(b"browser_download_url")


@pytest.mark.parametrize("digest", [None, "", "sha256:", "sha256:zz", f"md4:{SHA256}", 5, [SHA256]])
def test_without_a_digest(digest: Any) -> None:
    text = json.dumps([asset("/f", digest=digest)]).encode()
    (named,) = shown(GITHUB, "api/v3/repos/o/r/releases/1/assets", JSON, text).named
    assert named == NamedFile("https://index.test/f")


@pytest.mark.parametrize("item", [1, None, {}, {"browser_download_url": 5}, []])
def test_what_is_no_asset_stays(item: Any) -> None:
    text = json.dumps(release(item)).encode()
    assert json.loads(shown(GITHUB, "repos/o/r/releases/latest", JSON, text).text) == release(item)


@pytest.mark.parametrize("text", [b"[1", b'{"assets": [{]}', b"", b'{"assets": [tru]}'])
def test_what_is_no_release(text: bytes) -> None:
    with pytest.raises(DocumentError):
        shown(GITHUB, "repos/o/r/releases/latest", JSON, text)


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("o/r/releases/download/v1/f.tar.gz", "86400"),
        ("o/r/releases/latest", "300"),
        ("o/r/releases/latest/download/f", "300"),
        ("o/r/archive/refs/tags/v1.tar.gz", "86400"),
        (f"o/r/archive/{COMMIT}.zip", "86400"),
        ("o/r/archive/refs/heads/main.zip", "300"),
        ("o/r/archive/main.zip", "300"),
        ("o/r/tar.gz/refs/tags/v1", "86400"),
        ("o/r/legacy.zip/main", "300"),
        ("repos/o/r/releases", "120"),
        ("api/v3/repos/o/r/releases/latest", "120"),
        ("rate_limit", "no store"),
        ("user/repos", "no store"),
        ("o/r", ""),
        ("o/r.git/info/refs", ""),
    ],
)
def test_paths(path: str, policy: str) -> None:
    assert kept(GITHUB, path) == policy


def test_whose_redirects_are_shown() -> None:
    assert GITHUB.shows_redirects("o/r/releases/latest")
    assert kept(GITHUB, "o/r/releases/latest", 302) == "300"
    assert not GITHUB.shows_redirects("o/r/releases/latest/download/f")
    assert kept(GITHUB, "o/r/releases/latest/download/f", 302) == ""
