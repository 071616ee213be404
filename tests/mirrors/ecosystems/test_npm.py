"""Documents of JavaScript packages: links, digests, and what else stays as it is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from reading import shown

from pyproxycache.mirrors.ecosystems.npm import NPM
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

SHA512, SHA256, SHA1 = b"\xab" * 64, b"\xcd" * 32, "ef" * 20
FULL, ABBREVIATED = "application/json", "application/vnd.npm.install-v1+json"


def sri(algorithm: str, digest: bytes) -> str:
    return f"{algorithm}-{base64.b64encode(digest).decode()}"


def package(**versions: Any) -> bytes:
    return json.dumps(
        {"name": "@a/b", "dist-tags": {"latest": "1.0.0"}, "versions": versions, "readme": "}{"}
    ).encode()


@pytest.mark.parametrize("path", ["b", "@a/b", "@a%2fb", "@a%2Fb"])
@pytest.mark.parametrize("media_type", [FULL, ABBREVIATED])
def test_a_package(path: str, media_type: str) -> None:
    version = {
        "name": "@a/b",
        "dist": {
            "tarball": "https://up.test/@a/b/-/b-1.0.0.tgz",
            "integrity": sri("sha512", SHA512),
            "x": 1,
        },
        "dependencies": {"c": "^1"},
    }
    found = shown(NPM, path, media_type, package(**{"1.0.0": version}))
    version["dist"] = {**version["dist"], "tarball": "mirror:https://up.test/@a/b/-/b-1.0.0.tgz"}  # type: ignore[dict-item]
    assert json.loads(found.text) == json.loads(package(**{"1.0.0": version}))
    digest = ExpectedDigest("dist.integrity", "sha-512", SHA512.hex())
    assert found.named == [NamedFile("https://up.test/@a/b/-/b-1.0.0.tgz", (digest,), "@a/b", "1.0.0")]


@pytest.mark.parametrize(
    ("dist", "digests"),
    [
        ({"integrity": f"{sri('sha256', SHA256)} {sri('sha512', SHA512)}?opt"}, ["sha-256", "sha-512"]),
        ({"integrity": sri("sha384", b"x" * 48), "shasum": SHA1}, ["sha"]),
        ({"integrity": sri("sha512", b"short"), "shasum": "x"}, []),
        ({"integrity": "sha512-%%", "shasum": SHA1.upper()}, ["sha"]),
        ({"integrity": "sha512-é", "shasum": SHA1}, ["sha"]),
        ({"integrity": 5}, []),
        ({"shasum": SHA1}, ["sha"]),
    ],
)
def test_digests(dist: dict[str, Any], digests: list[str]) -> None:
    found = shown(NPM, "a", FULL, package(x={"dist": {"tarball": "https://up.test/a.tgz", **dist}}))
    assert [one.algorithm for one in found.named[0].digests] == digests


@pytest.mark.parametrize("version", [1, None, {}, {"dist": 1}, {"dist": {}}, {"dist": {"tarball": None}}])
def test_what_is_no_version_stays(version: Any) -> None:
    assert json.loads(shown(NPM, "a", FULL, package(x=version)).text) == json.loads(package(x=version))


def test_versions_are_left_out() -> None:
    versions = {number: {"dist": {"tarball": f"https://up.test/{number}"}} for number in ("1", "2", "3")}
    found = shown(NPM, "a", FULL, package(**versions), is_shown=lambda file: file.version != "2")
    assert list(json.loads(found.text)["versions"]) == ["1", "3"]


@pytest.mark.parametrize(
    "path", ["-/npm/v1/security/audits", "a/-/a-1.0.0.tgz", "@a/b/-/b-1.0.0.tgz", "a/1.0.0"]
)
def test_what_is_no_document_of_a_package(path: str) -> None:
    assert NPM.document(path, FULL) is None
