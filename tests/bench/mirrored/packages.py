"""What the upstream has: packages for apt, pip and npm, made here, and the indexes that name them."""

from __future__ import annotations

import base64
import hashlib
import json
import lzma
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from archives import tarred, zipped

RELEASES = 40
"""That each index of pip and npm names; clients want the last one, and only that is there."""
SUITE = "dists/stable"
_JSON = "application/vnd.pypi.simple.v1+json"
_ABBREVIATED = "application/vnd.npm.install-v1+json"


@dataclass(frozen=True)
class Served:
    """What a path has; `forms` are what it has for those whose Accept names such a type."""

    media_type: str
    content: bytes
    forms: Mapping[str, Served] = field(default_factory=dict)

    @cached_property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


Paths = dict[str, Served]
"""By path, from the first slash on."""


def size_of(tree: Paths) -> int:
    """Bytes of all that it has."""
    return sum(len(one.content) for one in tree.values())


def _filler(number: int) -> bytes:
    """What no compression makes smaller: from 20 to 120 KB, the same amount in each run."""
    return os.urandom(20_000 + number * 7_919 % 100_000)


# --- apt ---------------------------------------------------------------------------------------------


def debian_names(count: int) -> list[str]:
    return [f"bench-{number:03}" for number in range(count)]


def debian_archive(folder: Path, count: int, large: int, size: int) -> Paths:
    """An archive below /debian/ by dpkg-deb and apt-ftparchive, signed by the key in `folder`/key.gpg.

    `large` of the packages have `size` bytes. CalledProcessError where one of the programs fails.
    """
    archive = folder / "archive"
    binary = archive / SUITE / "main" / "binary-amd64"
    binary.mkdir(parents=True)
    for number, name in enumerate(debian_names(count)):
        _deb(archive, name, os.urandom(size) if number < large else _filler(number))
    packages = _said("apt-ftparchive", "packages", "pool", folder=archive)
    (binary / "Packages").write_bytes(packages)
    (binary / "Packages.xz").write_bytes(lzma.compress(packages))
    told = {"Origin": "bench", "Suite": "stable", "Codename": "stable", "Architectures": "amd64"}
    told |= {"Components": "main", "Acquire-By-Hash": "yes"}
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in told.items()]
    release = _said("apt-ftparchive", *options, "release", SUITE, folder=archive)
    (archive / SUITE / "InRelease").write_bytes(_signed(folder, release))
    tree: Paths = {}
    for path in sorted(archive.rglob("*")):
        if path.is_file():
            served = Served("application/octet-stream", path.read_bytes())
            tree[f"/debian/{path.relative_to(archive)}"] = served
            if path.name.startswith("Packages"):
                digest = hashlib.sha256(served.content).hexdigest()
                tree[f"/debian/{path.parent.relative_to(archive)}/by-hash/SHA256/{digest}"] = served
    return tree


def _deb(archive: Path, name: str, content: bytes) -> None:
    root, pool = archive.parent / "root" / name, archive / "pool" / name
    (root / "DEBIAN").mkdir(parents=True)
    root.chmod(0o755)
    (root / "DEBIAN").chmod(0o755)
    pool.mkdir(parents=True)
    about = {"Package": name, "Version": "1.0", "Architecture": "all", "Description": "for the bench"}
    about["Maintainer"] = "Bench <bench@cache.invalid>"
    (root / "DEBIAN" / "control").write_text("".join(f"{key}: {value}\n" for key, value in about.items()))
    (root / name).write_bytes(content)
    _said(
        "dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(pool / f"{name}_1.0_all.deb")
    )


def _signed(folder: Path, release: bytes) -> bytes:
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    try:
        _said(*gpg, "--quick-gen-key", "bench@cache.invalid")
        (folder / "key.gpg").write_bytes(_said(*gpg, "--export"))
        return _said(*gpg, "--clearsign", content=release)
    finally:
        _said("gpgconf", "--homedir", str(home), "--kill", "gpg-agent")


def _said(*command: str, folder: Path | None = None, content: bytes = b"") -> bytes:
    done = subprocess.run(command, cwd=folder, input=content, capture_output=True, check=True, timeout=100)
    return done.stdout


# --- pip ---------------------------------------------------------------------------------------------


def python_names(count: int) -> list[str]:
    return [f"bench-{number:02}" for number in range(count)]


def python_index(url: str, count: int) -> Paths:
    """A simple index below /pypi/simple/ in JSON and HTML, and wheels in /files/; `url` is the server's."""
    names = python_names(count)
    projects = {"meta": {"api-version": "1.1"}, "projects": [{"name": name} for name in names]}
    anchors = "".join(f'<a href="/pypi/simple/{name}/">{name}</a>\n' for name in names)
    tree: Paths = {"/pypi/simple/": _page(anchors, projects)}
    for number, name in enumerate(names):
        label = name.replace("-", "_")
        wheel = _wheel(label, _filler(number))
        wheels = [f"{label}-1.{minor}-py3-none-any.whl" for minor in range(RELEASES)]
        digests = [hashlib.sha256(one.encode()).hexdigest() for one in wheels[:-1]]
        files = list(zip(wheels, [*digests, hashlib.sha256(wheel).hexdigest()], strict=True))
        links = (f'<a href="{url}/files/{one}#sha256={of}">{one}</a><br/>\n' for one, of in files)
        items = [
            {
                "filename": one,
                "url": f"{url}/files/{one}",
                "hashes": {"sha256": digest},
                "requires-python": ">=3.8",
                "upload-time": "2024-01-01T00:00:00.000000Z",
                "size": len(wheel),
                "yanked": False,
            }
            for one, digest in files
        ]
        page = {"meta": {"api-version": "1.1"}, "name": name, "files": items, "versions": []}
        tree[f"/pypi/simple/{name}/"] = _page("".join(links), page)
        tree[f"/files/{wheels[-1]}"] = Served("application/octet-stream", wheel)
    return tree


def _page(links: str, page: Mapping[str, object]) -> Served:
    whole = f"<!DOCTYPE html><html><body>\n{links}</body></html>\n"
    return Served("text/html", whole.encode(), {_JSON: Served(_JSON, json.dumps(page).encode())})


def _wheel(label: str, content: bytes) -> bytes:
    version = f"1.{RELEASES - 1}"
    info = f"{label}-{version}.dist-info"
    members: dict[str, bytes] = {
        f"{label}/__init__.py": b"",
        f"{label}/data.bin": content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {label}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    members[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*members, f"{info}/RECORD")).encode()
    return zipped(members)


# --- npm ---------------------------------------------------------------------------------------------


def npm_registry(url: str, count: int) -> Paths:
    """A registry below /npm/, its documents whole and abbreviated, and archives; `url` is the server's."""
    tree: Paths = {}
    for number, name in enumerate(python_names(count)):
        archive = npm_archive(name, _filler(number))
        versions = {f"1.0.{patch}": _manifest(url, name, f"1.0.{patch}") for patch in range(RELEASES)}
        last = f"1.0.{RELEASES - 1}"
        versions[last]["dist"] |= {
            "integrity": integrity(archive),
            "shasum": hashlib.sha1(archive).hexdigest(),
        }
        document = {"name": name, "dist-tags": {"latest": last}, "versions": versions}
        short = {**document, "modified": "2024-01-01T00:00:00.000Z"}
        times = dict.fromkeys((*versions, "created", "modified"), "2024-01-01T00:00:00.000Z")
        whole = {**document, "_id": name, "time": times, "readme": "for the bench\n" * 200}
        forms = {_ABBREVIATED: Served(_ABBREVIATED, json.dumps(short).encode())}
        tree[f"/npm/{name}"] = Served("application/json", json.dumps(whole).encode(), forms)
        tree[f"/npm/{name}/-/{name}-{last}.tgz"] = Served("application/octet-stream", archive)
    return tree


def npm_project(names: Sequence[str], tree: Paths) -> dict[str, str]:
    """The files of a project that needs these packages: its lock file names digests, and no addresses."""
    last = f"1.0.{RELEASES - 1}"
    needs = dict.fromkeys(names, last)
    root = {"name": "bench", "version": "1.0.0", "dependencies": needs}
    packages: dict[str, object] = {"": root}
    for name in names:
        archive = tree[f"/npm/{name}/-/{name}-{last}.tgz"].content
        packages[f"node_modules/{name}"] = {"version": last, "integrity": integrity(archive)}
    lock = {
        "name": "bench",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "requires": True,
        "packages": packages,
    }
    return {"package.json": json.dumps(root), "package-lock.json": json.dumps(lock)}


def npm_archive(name: str, content: bytes) -> bytes:
    about = json.dumps({"name": name, "version": f"1.0.{RELEASES - 1}"}).encode()
    return tarred({"package/package.json": about, "package/data.bin": content})


def integrity(content: bytes) -> str:
    """As npm writes it."""
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def _manifest(url: str, name: str, version: str) -> dict[str, Any]:
    tarball = f"{url}/npm/{name}/-/{name}-{version}.tgz"
    return {"name": name, "version": version, "dist": {"tarball": tarball, **_digests(version.encode())}}


def _digests(content: bytes) -> dict[str, str]:
    return {"integrity": integrity(content), "shasum": hashlib.sha1(content).hexdigest()}
