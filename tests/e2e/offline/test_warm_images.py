"""`warm` for a Dockerfile: manifests and blobs of its images are there without the registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import DONE, PROBLEMS, call
from harness import Proxy
from origin import Origin

MakeProxy = Callable[..., Proxy]
INDEX, MANIFEST = (f"application/vnd.oci.image.{kind}.v1+json" for kind in ("index", "manifest"))


def named(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


class ImageShelf:
    """One image for two platforms, below /v2/library/tiny/."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self.blobs: dict[str, bytes] = {}
        manifests = []
        for machine in ("amd64", "arm64"):
            parts = [self.put_blob(f"{kind} of {machine}".encode()) for kind in ("config", "layer")]
            content = {"schemaVersion": 2, "config": parts[0], "layers": parts[1:]}
            descriptor = self.put_manifest(json.dumps(content).encode(), MANIFEST)
            manifests.append({**descriptor, "platform": {"os": "linux", "architecture": machine}})
        self.index = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
        self.put_manifest(self.index, INDEX, "1")

    def put_blob(self, body: bytes) -> dict[str, object]:
        self.blobs[named(body)] = body
        self._origin.put(f"/v2/library/tiny/blobs/{named(body)}", body)
        return {"digest": named(body), "size": len(body)}

    def put_manifest(self, body: bytes, media_type: str, *tags: str) -> dict[str, object]:
        for reference in (named(body), *tags):
            fields = [("Content-Type", media_type), ("Docker-Content-Digest", named(body))]
            self._origin.put(f"/v2/library/tiny/manifests/{reference}", body, headers=fields)
        return {"digest": named(body), "size": len(body), "mediaType": media_type}


@pytest.fixture
def cache(make_proxy: MakeProxy, origin: Origin) -> Proxy:
    return make_proxy(config={"mirrors": {"hub": {"ecosystem": "oci", "upstream": origin.url("/")}}})


def warmed(cache: Proxy, folder: Path, text: str, *options: str) -> tuple[int, str]:
    (folder / "Dockerfile").write_text(text)
    where = ["--proxy", cache.netloc, "-c", str(cache.config_file)]
    done = call("warm", str(folder / "Dockerfile"), *options, *where)
    return done.status, done.stdout + done.stderr


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_an_image(cache: Proxy, origin: Origin, tmp_path: Path, by: str) -> None:
    shelf = ImageShelf(origin)
    reference = "tiny:1" if by == "tag" else f"tiny@{named(shelf.index)}"
    status, said = warmed(cache, tmp_path, f"FROM {reference} AS x\nFROM x\n", "--platform", "linux/arm64")
    assert (status, said.startswith("4 files in the cache")) == (DONE, True), said
    archive, lock = str(tmp_path / "image.tar"), str(tmp_path / "Dockerfile")
    exported = call("export", archive, "--lock", lock, "--cache-dir", str(cache.cache_dir))
    assert (exported.status, exported.stdout[:29]) == (DONE, "exported 4 stored responses, "), exported
    cache.command += ["--offline"]
    cache.restart()
    origin.stop()
    place = "/hub/v2/library/tiny"
    got = cache.get(f"{place}/manifests/{reference.partition('tiny')[2][1:]}")
    assert (got.status, got.body) == (200, shelf.index)
    for digest, body in shelf.blobs.items():
        answer = cache.get(f"{place}/blobs/{digest}")
        assert answer.status == (200 if body.endswith(b"arm64") else 504)


def test_what_is_no_image(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    shelf = ImageShelf(origin)
    status, said = warmed(cache, tmp_path, "FROM tiny:1\n", "--platform", "plan9/arm")
    assert status == PROBLEMS
    assert "is for linux/amd64, linux/arm64, and not for plan9/arm" in said
    status, said = warmed(cache, tmp_path, "FROM tiny:none\n")
    assert (status, "status 404" in said) == (PROBLEMS, True)
    shelf.put_manifest(b'{"layers": [{"digest": "../../x"}]}', MANIFEST, "upward")
    status, said = warmed(cache, tmp_path, "FROM tiny:upward\n")
    assert (status, "which is no sha256" in said) == (PROBLEMS, True)
    shelf.put_manifest(b"[" * 10_000, MANIFEST, "deep")
    status, said = warmed(cache, tmp_path, "FROM tiny:deep\n")
    assert (status, "is no manifest" in said) == (PROBLEMS, True)
