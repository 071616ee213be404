"""A mirror of releases: files behind addresses that end, the newest release, the interface's links."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Proxy
from origin import Generated, Origin
from signing import SigningHost

MakeProxy = Callable[..., Proxy]
FILE = Generated(3_000_000, seed=9)
DOWNLOAD = "/o/r/releases/download/v1/f.tar.gz"
LATEST = "/o/r/releases/latest/download/f.tar.gz"
PRIVATE = {"cache_control": "max-age=0, private, must-revalidate"}
JSON = [("Content-Type", "application/json; charset=utf-8")]


@pytest.fixture
def hub(origin: Origin) -> Iterator[SigningHost]:
    with Origin() as blobs:
        signing = SigningHost(origin, blobs)
        headers = [
            ("Cache-Control", "no-cache"),
            ("Set-Cookie", "a=b"),
            ("Vary", "Accept-Encoding, Accept"),
        ]
        signing.put(DOWNLOAD, FILE, headers=headers, etag='"0x1"', break_at=[1_000_000, None, None])
        for path, location in (("/o/r/releases/latest", "/o/r/releases/tag/v1"), (LATEST, DOWNLOAD)):
            fields = [("Location", origin.url(location)), ("Set-Cookie", "a=b")]
            origin.put(path, status=302, headers=fields, **PRIVATE)
        origin.put("/o/r/archive/refs/tags/v1.tar.gz", b"archive", etag='W/"1"', **PRIVATE)
        asset = {"browser_download_url": origin.url(DOWNLOAD), "digest": f"sha256:{FILE.sha256()}"}
        release = json.dumps({"tag_name": "v1", "assets": [asset]}).encode()
        origin.put("/repos/o/r/releases/latest", release, headers=JSON, etag='W/"2"')
        yield signing


@pytest.fixture
def cache(make_proxy: MakeProxy, hub: SigningHost) -> Proxy:
    mirror = {"ecosystem": "github", "upstream": hub.front.url("/")}
    return make_proxy(config={"mirrors": {"gh": mirror}})


def curl(url: str, folder: Path) -> str:
    """The digest of what curl downloads."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    file = folder / "got"
    command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--output", str(file), url]
    subprocess.run(command, check=True, timeout=60)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_release_twice(hub: SigningHost, cache: Proxy, tmp_path: Path) -> None:
    """Its address ends in the middle of the first download; the second is with the upstream stopped."""
    for _ in range(2):
        assert curl(f"{cache.url}/gh{DOWNLOAD}", tmp_path) == FILE.sha256()
        hub.front.stop()
        hub.blobs.stop()
    assert hub.front.count(DOWNLOAD) == len(hub.signatures(DOWNLOAD)) == 2
    assert hub.blobs.requests[1].get("If-Range") == '"0x1"'


def test_the_newest_release(hub: SigningHost, cache: Proxy, tmp_path: Path) -> None:
    for _ in range(2):
        reply = cache.get("/gh/o/r/releases/latest")
        location = f"{cache.url}/gh/o/r/releases/tag/v1"
        assert (reply.status, reply.get("Location"), reply.get("Set-Cookie")) == (302, location, None)
        assert curl(f"{cache.url}/gh{LATEST}", tmp_path) == FILE.sha256()
        hub.front.stop()
        hub.blobs.stop()


def test_archives_and_the_interface(hub: SigningHost, cache: Proxy) -> None:
    for _ in range(2):
        assert cache.get("/gh/o/r/archive/refs/tags/v1.tar.gz").body == b"archive"
        reply = cache.get("/gh/repos/o/r/releases/latest")
        url = json.loads(reply.body)["assets"][0]["browser_download_url"]
        assert url == f"{cache.url}/gh{DOWNLOAD}"
        hub.front.stop()


def test_a_private_archive_is_for_its_client_alone(hub: SigningHost, cache: Proxy) -> None:
    path = "/o/r/archive/refs/tags/v2.tar.gz"
    hub.front.put(path, b"secret", etag='"2"', **PRIVATE)
    for field in (("Cookie", "user=1"), ("Authorization", "token x")):
        assert cache.get(f"/gh{path}", [field]).body == b"secret"
    hub.front.put(path, b"", status=404)
    assert cache.get(f"/gh{path}").status == 404
