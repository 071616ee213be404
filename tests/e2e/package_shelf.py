"""Python and JavaScript packages on one origin, and real clients that install them from a mirror."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from archives import tarred, zipped
from harness import clean_environment
from origin import Origin

PIP_JSON = "application/vnd.pypi.simple.v1+json"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def integrity(body: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(body).digest()).decode()}"


def wheel_of(name: str, version: str, text: str = "") -> bytes:
    """A wheel with one module of this text."""
    about = f"{name}-{version}.dist-info"
    return zipped(
        {
            f"{name}.py": text,
            f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{about}/RECORD": "",
        }
    )


def archive_of(name: str, version: str) -> bytes:
    """An archive as npm packs them."""
    return tarred({"package/package.json": json.dumps({"name": name, "version": version}).encode()})


class PackageShelf:
    """Packages on an origin: Python's below /py/, JavaScript's below /js/; indexes are to be validated."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.wheels: dict[str, bytes] = {}
        self.archives: dict[str, bytes] = {}

    @property
    def mirrors(self) -> dict[str, Any]:
        """The mirrors of both, for a configuration."""
        return {
            "py": {"ecosystem": "pypi", "upstream": self.origin.url("/py/")},
            "js": {"ecosystem": "npm", "upstream": self.origin.url("/js/")},
        }

    def put_wheels(self, name: str, *versions: str) -> None:
        files = []
        for version in versions:
            file, body = f"{name}-{version}-py3-none-any.whl", wheel_of(name, version)
            self.wheels[file] = body
            files.append(
                {"filename": file, "url": f"../../files/{file}", "hashes": {"sha256": sha256(body)}}
            )
            self.origin.put(f"/py/files/{file}", body, etag=f'"{version}"')
        page = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()
        fields = [("Content-Type", PIP_JSON), ("Vary", "Accept, Accept-Encoding")]
        self.origin.put(f"/py/simple/{name}/", page, headers=fields, etag='"p"', cache_control="max-age=0")

    def put_archive(self, name: str, version: str) -> dict[str, Any]:
        """Put it there; gives its part of a lock file."""
        body = archive_of(name, version)
        path = f"/js/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        self.archives[path] = body
        self.origin.put(path, body, etag=f'"{version}"')
        dist = {"tarball": self.origin.url(path), "integrity": integrity(body)}
        document = {
            "name": name,
            "dist-tags": {"latest": version},
            "versions": {version: {"name": name, "version": version, "dist": dist}},
        }
        fields = [("Content-Type", "application/json")]
        text = json.dumps(document).encode()
        for place in (name, name.replace("/", "%2f")):
            self.origin.put(f"/js/{place}", text, headers=fields, etag='"d"', cache_control="max-age=0")
        return {"version": version, "resolved": self.origin.url(path), "integrity": integrity(body)}


def ran(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        command, cwd=folder, env=clean_environment(environment), capture_output=True, text=True, timeout=100
    )


def pip(folder: Path, index: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Pip installs into `got`, from this index alone."""
    options = ["--no-cache-dir", "--disable-pip-version-check", "--no-deps", "--target", "got"]
    install = [sys.executable, "-m", "pip", "--isolated", "install", "-q", *options]
    return ran([*install, "--retries", "0", "--index-url", index, *arguments], folder)


def npm(
    folder: Path, registry: str, *arguments: str, files: Mapping[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    """Npm with a cache of its own, in a project of these files (JSON)."""
    found = shutil.which("npm")
    if found is None:
        pytest.skip("npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (files or {"package.json": {"name": "user", "version": "1.0.0"}}).items():
        (folder / name).write_text(json.dumps(content))
    options = ["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0"]
    where = ["--registry", registry, "--cache", str(folder / "npm")]
    return ran([found, *arguments, *options, *where], folder, HOME=str(folder))
