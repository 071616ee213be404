"""Lists of files of models: digests of large files, and nothing that leads past the cache."""

from __future__ import annotations

import json
from typing import Any

import pytest
from path_policies import kept
from reading import shown

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.ecosystems.huggingface import HUGGINGFACE
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

COMMIT, SHA256, XET = "0a" * 20, "ab" * 32, "ef" * 32
JSON = "application/json"


def file(path: str, **more: Any) -> dict[str, Any]:
    return {"type": "file", "oid": "1" * 40, "size": 5, "path": path, **more}


def large(path: str, **more: Any) -> dict[str, Any]:
    return file(path, lfs={"oid": SHA256, "size": 5, "pointerSize": 130}, **more)


@pytest.mark.parametrize("size", range(1, 10))
@pytest.mark.parametrize(
    ("kind", "package"), [("models", ""), ("datasets", "datasets/"), ("spaces", "spaces/")]
)
@pytest.mark.parametrize("name", ["gpt2", "org/name"])
def test_a_tree(kind: str, package: str, name: str, size: int) -> None:
    items = [file("config.json"), large("w+1/a b.bin", xetHash=XET), {"type": "directory", "path": "w"}]
    path = f"api/{kind}/{name}/tree/{COMMIT}"
    found = shown(HUGGINGFACE, path, JSON, json.dumps(items).encode(), size=size)
    assert json.loads(found.text) == [items[0], large("w+1/a b.bin"), items[2]]
    url = f"https://index.test/{package}{name}/resolve/{COMMIT}/w%2B1/a%20b.bin"
    digest = ExpectedDigest("lfs", "sha-256", SHA256)
    assert found.named == [NamedFile(url, (digest,), f"{package}{name}", COMMIT)]


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:-1]])
def test_files_of_what_moves_are_not_named(revision: str) -> None:
    text = json.dumps([large("a.bin", xetHash=XET)]).encode()
    found = shown(HUGGINGFACE, f"api/models/a/b/tree/{revision}", JSON, text)
    assert (json.loads(found.text), found.named) == ([large("a.bin")], [])


@pytest.mark.parametrize("revision", ["", "/revision/main", f"/revision/{COMMIT}"])
def test_a_model(revision: str) -> None:
    siblings = [
        {"rfilename": "a.txt"},
        {"rfilename": "b.bin", "lfs": {"sha256": SHA256, "size": 5}, "xetHash": XET},
    ]
    text = json.dumps({"id": "a/b", "sha": COMMIT, "siblings": siblings, "tags": ["x"]}).encode()
    found = shown(HUGGINGFACE, f"api/models/a/b{revision}", JSON, text)
    del siblings[1]["xetHash"]
    assert json.loads(found.text)["siblings"] == siblings
    assert len(found.named) == (COMMIT in revision)


@pytest.mark.parametrize("item", [1, None, [], {"lfs": 1}, {"lfs": {}, "path": 5}, {"lfs": {}, "path": ""}])
def test_what_is_no_file_stays(item: Any) -> None:
    text = json.dumps([item, {"x": "xetHash"}]).encode()
    assert shown(HUGGINGFACE, f"api/models/a/tree/{COMMIT}", JSON, text).text == text


@pytest.mark.parametrize("text", [b"[1", b'[{"lfs": }]', b'[{"lfs": "\xff"}]', b"", b'["lfs" 1]'])
def test_what_is_no_tree(text: bytes) -> None:
    with pytest.raises(DocumentError):
        shown(HUGGINGFACE, f"api/models/a/tree/{COMMIT}", JSON, text)


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        (f"org/name/resolve/{COMMIT}/a/b.bin", "immutable"),
        (f"gpt2/resolve/{COMMIT}/a.bin", "immutable"),
        (f"datasets/org/name/resolve/{COMMIT}/a.bin", "immutable"),
        (f"api/resolve-cache/models/org/name/{COMMIT}/config.json", "immutable"),
        ("org/name/resolve/main/a.bin", "120"),
        (f"org/name/resolve/{COMMIT}0/a.bin", "120"),
        ("api/models/org/name", "120"),
        ("api/models/org/name/tree/main", "120"),
        (f"api/models/org/name/tree/{COMMIT}", "3600"),
        ("api/whoami-v2", "no store"),
        (f"api/models/org/name/xet-read-token/{COMMIT}", "no store"),
        ("org/name", ""),
    ],
)
def test_paths(path: str, policy: str) -> None:
    assert kept(HUGGINGFACE, path) == policy
