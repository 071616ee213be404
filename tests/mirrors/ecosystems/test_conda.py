"""Conda's indexes: what they name, whole or in shards, and what stays as it is."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from path_policies import kept
from reading import shown

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.packed import packed_by_zstd
from pyproxycache.mirrors.ecosystems.conda import CONDA
from pyproxycache.mirrors.named_file import NamedFile
from pyproxycache.rules.digests import ExpectedDigest

try:
    packed_by_zstd(b"")
    without_zstd = False
except DocumentError:
    without_zstd = True
needs_zstd = pytest.mark.skipif(without_zstd, reason="backports.zstd is not installed")

SHA256, MD5 = "ab" * 32, "cd" * 16
HASH = hashlib.sha256(b"shard").hexdigest()
SHARDS = "noarch/repodata_shards.msgpack.zst"
SHARD = f"noarch/shards/{HASH}.msgpack.zst"


def record(**more: Any) -> dict[str, Any]:
    return {"name": "a", "version": "1.0", "depends": ["b >=1"], "sha256": SHA256, "md5": MD5, **more}


def repodata(**info: str) -> bytes:
    packages = {"a-1.0-0.tar.bz2": record(), "b-1!2-0.tar.bz2": record(sha256=None)}
    others = {"c-1.0+x-0.conda": record(md5=None), "../evil.conda": record(), "bad.conda": 1}
    document = {"info": {"subdir": "noarch", **info}, "packages": packages, "packages.conda": others}
    return json.dumps({**document, "removed": ["d.conda"], "repodata_version": 1}).encode()


def named(folder: str) -> list[NamedFile]:
    digest, weak = ExpectedDigest("repodata", "sha-256", SHA256), ExpectedDigest("repodata", "md5", MD5)
    files = (("a-1.0-0.tar.bz2", digest), ("b-1!2-0.tar.bz2", weak), ("c-1.0+x-0.conda", digest))
    return [NamedFile(f"{folder}{name}", (one,), "a", "1.0") for name, one in files]


@pytest.mark.parametrize("size", range(1, 10))
@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("repodata.json", bytes),
        ("current_repodata.json", bytes),
        ("repodata.json.bz2", bz2.compress),
        ("repodata.json.gz", gzip.compress),
        pytest.param("repodata.json.zst", packed_by_zstd, marks=needs_zstd),
    ],
    ids=["plain", "current", "bz2", "gz", "zst"],
)
def test_all_packages_are_named_and_nothing_changes(name: str, pack: Any, size: int) -> None:
    packed = pack(repodata())
    found = shown(CONDA, f"noarch/{name}", "application/json", packed, size=size)
    assert (found.text, found.named) == (packed, named("https://index.test/noarch/"))


@pytest.mark.parametrize(
    ("base", "folder"),
    [
        ("https://files.test/x/", "https://files.test/x/"),
        ("https://files.test/x", "https://files.test/x/"),
        ("../y/", "https://index.test/y/"),
        ("", "https://index.test/noarch/"),
    ],
)
def test_packages_may_be_elsewhere(base: str, folder: str) -> None:
    found = shown(CONDA, "noarch/repodata.json", "", repodata(base_url=base))
    assert found.named == named(folder)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        repodata()[:-1],
        repodata() + b"{}",
        b"[" * 1000,
        b'{"packages": {"a": ' + b'"' + b"x" * (9 << 20) + b'"}}',
        b"<html>",
    ],
)
def test_what_is_no_repodata(text: bytes) -> None:
    with pytest.raises(DocumentError):
        shown(CONDA, "noarch/repodata.json", "", text, size=1 << 16)


def test_a_bomb() -> None:
    with pytest.raises(DocumentError, match="200 times"):
        shown(CONDA, "noarch/repodata.json.bz2", "", bz2.compress(b'{"a": "' + b" " * (40 << 20)), size=999)


@needs_zstd
@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_shard(size: int) -> None:
    stated = {"sha256": bytes.fromhex(SHA256), "md5": bytes.fromhex(MD5)}
    shard = {
        "packages": {"a-1.0-0.tar.bz2": record(**stated), "b-1!2-0.tar.bz2": record(md5=stated["md5"])},
        "packages.conda": {"c-1.0+x-0.conda": record(sha256=stated["sha256"], md5=None)},
        "removed": [],
    }
    shard["packages"]["b-1!2-0.tar.bz2"]["sha256"] = None  # type: ignore[call-overload]
    packed = packed_by_zstd(msgspec.msgpack.encode(shard))
    found = shown(CONDA, SHARD, "application/octet-stream", packed, size=size)
    assert (found.text, found.named) == (packed, named("https://index.test/noarch/"))


@needs_zstd
@pytest.mark.parametrize(
    ("info", "links", "folder"),
    [
        ({}, {}, "noarch/"),
        ({"base_url": "", "shards_base_url": "./shards/"}, {}, "noarch/shards/"),
        (
            {"base_url": "https://a.test/b", "shards_base_url": "//c.test/d/"},
            {"base_url": "mirror:https://a.test/b/", "shards_base_url": "mirror:https://c.test/d/"},
            "https://c.test/d/",
        ),
    ],
)
def test_an_index_of_shards(info: dict[str, str], links: dict[str, str], folder: str) -> None:
    document = {"info": {"subdir": "noarch", **info}, "shards": {"a": bytes.fromhex(HASH), "b": b"short"}}
    packed = packed_by_zstd(msgspec.msgpack.encode({"version": 1, **document}))
    found = shown(CONDA, SHARDS, "application/zstd", packed)
    content = unpacked(found.text)
    assert content == {"version": 1, **document, "info": {"subdir": "noarch", **info, **links}}
    url = f"{folder}{HASH}.msgpack.zst"
    url = url if "//" in url else f"https://index.test/{url}"
    assert found.named == [NamedFile(url, (ExpectedDigest("repodata", "sha-256", HASH),), "a")]


def unpacked(packed: bytes) -> Any:
    zstd = pytest.importorskip("backports.zstd")
    return msgspec.msgpack.decode(zstd.decompress(packed))


def test_values_that_nobody_needs_cost_nothing() -> None:
    """Of 15 MB of empty maps, which are packed in 70 KB, objects would have a gigabyte."""
    many = b"\xdd" + (15 << 19).to_bytes(4, "big") + b"\x80" * (15 << 19)
    name = msgspec.msgpack.encode("a.conda")
    shard = b"\x81\xa8packages\x81" + name + b"\x82\xa6sha256" + many + b"\xa7depends" + many
    index = b"\x82\xa6shards\x80\xa4info" + many[:-100]
    for path, content in ((SHARD, shard), (SHARDS, index), (SHARDS, b"\x82\xa6shards" + many)):
        tracemalloc.start()
        packed = gzip.compress(content)
        with contextlib.suppress(DocumentError):
            found = shown(CONDA, path, "", packed, size=1 << 16)
            assert (found.text, [one.digests for one in found.named]) == (packed, [()])
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
        tracemalloc.stop()


@needs_zstd
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 100_000,
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode({"info": 1, "shards": {}}),
        msgspec.msgpack.encode({"info": {"shards_base_url": "//[/"}, "shards": {}}),
        msgspec.msgpack.encode({"info": {"more": [0] * 70_000}, "shards": {}}),
        b"\xc1" * 100,
    ],
)
def test_what_is_no_index_of_shards(content: bytes) -> None:
    with pytest.raises(DocumentError):
        shown(CONDA, SHARDS, "", packed_by_zstd(content))


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("conda-forge/noarch/repodata.json", "300"),
        ("noarch/current_repodata.json", "300"),
        ("noarch/repodata.json.zst", "300"),
        (SHARDS, "300"),
        (SHARD, "immutable"),
        ("noarch/a-1.0-0.conda", "immutable"),
        ("linux-64/a-1.0-0.tar.bz2", "immutable"),
        ("noarch/repodata.jlap", "no store"),
        ("noarch/", ""),
    ],
)
def test_paths(path: str, policy: str) -> None:
    assert kept(CONDA, path) == policy
