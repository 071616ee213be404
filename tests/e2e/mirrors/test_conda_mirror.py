"""A mirror of a conda channel, with rattler itself, and what it shows of indexes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from conda_channel import INSTALL, PACKAGE, package
from harness import Proxy
from language_clients import VALIDATED, words
from origin import Origin
from python_clients import run_python

MakeProxy = Callable[..., Proxy]

# Makes the indexes of a channel. Python's end is left out in both, as rattler's threads may outlast it.
INDEX = """
import asyncio, os, sys
from rattler.index import index_fs
asyncio.run(index_fs(sys.argv[1], write_zst=True, write_shards=True))
os._exit(0)
"""


@pytest.fixture
def channel(tmp_path: Path, origin: Origin) -> Origin:
    """A channel below /up/, with its indexes as rattler makes them."""
    folder = tmp_path / "channel"
    (folder / "noarch").mkdir(parents=True)
    (folder / "noarch" / PACKAGE).write_bytes(package())
    made = run_python("rattler", INDEX, tmp_path / "indexing", str(folder))
    assert made.returncode == 0, words(made)
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            tag = hashlib.sha256(content).hexdigest()[:16]
            origin.put(f"/up/{file.relative_to(folder)}", content, etag=f'"{tag}"', **VALIDATED)
    return origin


@pytest.fixture
def cache(make_proxy: MakeProxy, origin: Origin) -> Proxy:
    return make_proxy(config={"mirrors": {"conda": {"ecosystem": "conda", "upstream": origin.url("/up/")}}})


@pytest.mark.parametrize("index", ["shards", "repodata"])
def test_rattler_installs_twice(channel: Origin, cache: Proxy, tmp_path: Path, index: str) -> None:
    """The second time with nothing of its own, and the upstream stopped."""
    for number in (1, 2):
        done = run_python("rattler", INSTALL, tmp_path / str(number), f"{cache.url}/conda", index)
        assert done.returncode == 0, words(done)
        assert done.stdout.split() == [f"{cache.url}/conda/noarch/{PACKAGE}"]
        installed = tmp_path / str(number) / "prefix" / "share" / "tiny.txt"
        assert installed.read_bytes() == b"tiny\n"
        channel.stop()
    assert channel.count(f"/up/noarch/{PACKAGE}") == 1
    shards = [asked for asked in channel.requests if "/shards/" in asked.target]
    assert len(shards) == (index == "shards")


def test_an_upstream_that_is_down_is_no_absence(channel: Origin, cache: Proxy) -> None:
    """Clients remember for days that there are no shards."""
    channel.stop()
    assert cache.get("/conda/noarch/repodata_shards.msgpack.zst").status >= 500


def test_shards_elsewhere_come_by_the_mirror(cache: Proxy, origin: Origin) -> None:
    zstd = pytest.importorskip("backports.zstd")
    shard = zstd.compress(msgspec.msgpack.encode({"packages": {}, "packages.conda": {}}))
    digest = hashlib.sha256(shard).digest()
    with Origin() as elsewhere:
        elsewhere.put(f"/s/{digest.hex()}.msgpack.zst", shard, **VALIDATED)
        info = {"subdir": "noarch", "base_url": "./", "shards_base_url": elsewhere.url("/s")}
        index = msgspec.msgpack.encode({"info": info, "shards": {"tiny": digest}})
        path = "/noarch/repodata_shards.msgpack.zst"
        origin.put(f"/up{path}", zstd.compress(index), etag='"i"', **VALIDATED)
        reply = cache.get(f"/conda{path}")
        shown = msgspec.msgpack.decode(zstd.decompress(reply.body))
        netloc = f"{elsewhere.host}:{elsewhere.port}"
        assert shown["info"] == {**info, "shards_base_url": f"{cache.url}/conda/~/http/{netloc}/s/"}
        assert shown["shards"] == {"tiny": digest}
        got = cache.get(f"/conda/~/http/{netloc}/s/{digest.hex()}.msgpack.zst")
        assert (got.status, got.body) == (200, shard)
        tag = reply.get("ETag") or ""
        assert cache.get(f"/conda{path}", [("If-None-Match", tag)]).status == 304


def test_repodata_is_given_as_it_is(cache: Proxy, origin: Origin) -> None:
    text = json.dumps({"info": {}, "packages": {}, "packages.conda": {}}).encode()
    origin.put("/up/noarch/repodata.json", text, etag='"r"', **VALIDATED)
    reply = cache.get("/conda/noarch/repodata.json", [("Range", "bytes=0-9")])
    assert (reply.status, reply.body) == (206, text[:10])
    reply = cache.get("/conda/noarch/repodata.json")
    assert (reply.get("ETag"), reply.get("Content-Length"), reply.body) == ('"r"', str(len(text)), text)


@pytest.mark.parametrize("form", ["repodata.json", "repodata.json.zst"])
def test_a_package_with_other_bytes_is_refused(cache: Proxy, origin: Origin, form: str) -> None:
    """The index is read where it is stored, and says what the package has to be."""
    record = {"name": "tiny", "version": "1.0", "sha256": hashlib.sha256(package()).hexdigest()}
    text = json.dumps({"info": {"subdir": "noarch"}, "packages": {PACKAGE: record}}).encode()
    if form.endswith(".zst"):
        text = pytest.importorskip("backports.zstd").compress(text)
    origin.put(f"/up/noarch/{form}", text, etag='"r"', **VALIDATED)
    origin.put(f"/up/noarch/{PACKAGE}", package(b"evil\n"), etag='"p"')
    assert cache.get(f"/conda/noarch/{form}").body == text
    reply = cache.get(f"/conda/noarch/{PACKAGE}")
    assert reply.status == 502 or not reply.complete
    origin.put(f"/up/noarch/{PACKAGE}", package(), etag='"q"')
    assert cache.get(f"/conda/noarch/{PACKAGE}").body == package()
