"""Rust crates: their index, its config.json, and paths."""

from __future__ import annotations

import json
from typing import Any

import pytest
from path_policies import kept
from reading import shown

from pyproxycache.mirrors.ecosystems.cargo import CARGO
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

DIGEST, OTHER = "ab" * 32, "CD" * 32


def config(dl: str = "https://files.test/dl") -> bytes:
    return json.dumps({"dl": dl, "api": "https://api.test", "auth-required": True}).encode()


def line(name: str = "Tiny", version: str = "1.0.0", digest: Any = DIGEST, **more: Any) -> str:
    told = {"name": name, "vers": version, "deps": [{"name": "b"}], "cksum": digest, **more}
    return json.dumps({**told, "features": {"a": []}, "yanked": False})


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", ""])
@pytest.mark.parametrize("size", [1, 9, 1000])
def test_the_configuration(media_type: str, size: int) -> None:
    dl = "https://files.test/{crate}/{version}"
    found = shown(CARGO, "config.json", media_type, config(dl), size=size)
    assert json.loads(found.text) == json.loads(config(f"mirror:{dl}"))
    assert found.named == []


@pytest.mark.parametrize("text", ['{"dl": 5, "x": {"dl": "https://files.test/"}}', '{"dl": null}', "{}"])
def test_what_says_not_where_crates_are_stays(text: str) -> None:
    assert shown(CARGO, "config.json", "", text.encode()).text == text.encode()


@pytest.mark.parametrize(
    ("dl", "url"),
    [
        ("https://files.test/dl", "https://files.test/dl/Tiny/1.0.0+b/download"),
        ("https://files.test", "https://files.test/Tiny/1.0.0+b/download"),
        ("https://f.test/{crate}/{crate}-{version}.crate", "https://f.test/Tiny/Tiny-1.0.0+b.crate"),
        ("https://f.test/{prefix}/{lowerprefix}/x", "https://f.test/Ti/ny/ti/ny/x"),
        ("https://f.test/{sha256-checksum}?{other}", f"https://f.test/{DIGEST}?{{other}}"),
    ],
)
@pytest.mark.parametrize("size", range(1, 10))
def test_a_file_of_the_index(dl: str, url: str, size: int) -> None:
    pub = "2026-11-01T10:00:00Z"
    text = f"{line(version='1.0.0+b', pubtime=pub)}\n{line(version='2.0.0', digest=OTHER)}\n".encode()
    found = shown(CARGO, "ti/ny/tiny", "text/plain", text, key=config(dl), size=size)
    assert found.text == text
    digests = (ExpectedDigest("cksum", "sha-256", DIGEST),)
    assert found.named[0] == NamedFile(url, digests, "Tiny", "1.0.0+b")
    assert found.named[1].digests[0].digest == OTHER.lower()


@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd", "A-_d"])
def test_prefixes(name: str) -> None:
    prefix = {1: "1", 2: "2", 3: "3/a"}.get(len(name), f"{name[:2]}/{name[2:]}")
    path = f"{prefix}/{name}".lower()
    found = shown(CARGO, path, "", line(name).encode(), key=config("https://f.test/{prefix}"))
    assert [one.url for one in found.named] == [f"https://f.test/{prefix}"]


@pytest.mark.parametrize("key", [b"", b"{}", b"[", b'{"dl": 5}', b"[" * 100_000])
def test_without_the_configuration_the_place_is_not_known(key: bytes) -> None:
    found = shown(CARGO, "ti/ny/tiny", "", line().encode(), key=key)
    assert [(one.url, one.version) for one in found.named] == [("", "1.0.0")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "no JSON",
        "[" * 10_000,
        "{}",
        line(name="other"),
        line(name="../tiny"),
        line(version="1/../../x"),
        line(digest="ab"),
        line(digest=None),
        line(digest="zz" * 32),
        '{"name": "tiny", "vers": "1.0.0", "cksum": "\ud800"}'.encode("utf-8", "surrogatepass").decode(
            "latin-1"
        ),
    ],
)
def test_what_names_no_crate_stays(text: str) -> None:
    found = shown(CARGO, "ti/ny/tiny", "", text.encode(), key=config(), size=1000)
    assert (found.text, found.named) == (text.encode(), [])


def test_versions_are_left_out() -> None:
    text = "\n".join((line(version="1.0.0"), line(version="2.0.0"), line(version="3.0.0"))).encode()
    found = shown(CARGO, "ti/ny/tiny", "", text, is_shown=lambda file: file.version != "2.0.0")
    assert [json.loads(one)["vers"] for one in found.text.splitlines()] == ["1.0.0", "3.0.0"]


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("config.json", "3600"),
        ("1/a", "60"),
        ("2/ab", "60"),
        ("3/a/abc", "60"),
        ("ab/cd/abcd-e", "60"),
        ("ab/cd/other", ""),
        ("3/a/bcd", ""),
        ("tiny-1.0.0.crate", "immutable"),
        ("api/v1/crates/tiny/1.0.0/download", "immutable"),
        ("dl/tiny/1.0.0-rc.1+b/download", "immutable"),
        ("api/v1/crates?q=tiny", "no store"),
        ("api/v1/crates/tiny", "no store"),
        ("dl/ab/1.0.0", ""),
    ],
)
def test_paths(path: str, how: str) -> None:
    assert kept(CARGO, path) == how


@pytest.mark.parametrize(("status", "how"), [(404, "60"), (410, "60"), (451, "60"), (403, ""), (500, "")])
def test_what_is_absent(status: int, how: str) -> None:
    assert kept(CARGO, "ab/cd/abcd", status) == how
