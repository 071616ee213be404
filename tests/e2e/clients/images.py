"""A registry of images: Debian's docker-registry in TLS, with one image, put there by skopeo."""

from __future__ import annotations

import gzip
import io
import json
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import Self

import yaml
from client import bare_environment
from stocks import SOURCE, sha256
from waiting import until


def _layer() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("tiny")
        member.size = len(SOURCE)
        archive.addfile(member, io.BytesIO(SOURCE))
    return packed.getvalue()


PLAIN_LAYER = _layer()
LAYER = gzip.compress(PLAIN_LAYER, mtime=0)
LAYER_DIGEST = sha256(LAYER)
_SETTINGS = {
    "architecture": "amd64",
    "os": "linux",
    "config": {},
    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(PLAIN_LAYER)}"]},
    "history": [],
}
CONFIG = json.dumps(_SETTINGS).encode()
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def _described(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(content), "digest": f"sha256:{sha256(content)}"}


_MANIFEST = {
    "schemaVersion": 2,
    "mediaType": MANIFEST_TYPE,
    "config": _described(_CONFIG_TYPE, CONFIG),
    "layers": [_described(_LAYER_TYPE, LAYER)],
}
MANIFEST = json.dumps(_MANIFEST).encode()


class ImageRegistry:
    """The server, on a port that stays the same over stop() and start(); `pair`: certificate and key."""

    def __init__(self, folder: Path, pair: Path, ca: Path) -> None:
        folder.mkdir()
        self._folder, self._ca = folder, ca
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = {
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": str(folder / "store")}},
            "http": {"addr": f"127.0.0.1:{self.port}", "tls": {"certificate": str(pair), "key": str(pair)}},
        }
        (folder / "config.yml").write_text(yaml.safe_dump(config))

    def start(self) -> Self:
        if self._process is not None:
            return self
        command = ["docker-registry", "serve", str(self._folder / "config.yml")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=bare_environment(self._folder)
            )
        until(self._accepts)
        if not (self._folder / "image").exists():
            self._fill()
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10.0)
            self._process = None

    def _fill(self) -> None:
        """Puts the image there."""
        image = self._folder / "image"
        image.mkdir()
        for content in (CONFIG, LAYER):
            (image / sha256(content)).write_bytes(content)
        (image / "manifest.json").write_bytes(MANIFEST)
        (image / "version").write_text("Directory Transport Version: 1.1\n")
        trust = self._folder / "trust"
        trust.mkdir()
        (trust / "ca.crt").write_bytes(self._ca.read_bytes())
        command = ["skopeo", "--insecure-policy", "copy", "-q", f"--dest-cert-dir={trust}", f"dir:{image}"]
        place = f"docker://127.0.0.1:{self.port}/tiny:1"
        done = subprocess.run(
            [*command, place],
            env=bare_environment(self._folder),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True
