"""Upstreams of mirrors: one package of each ecosystem, made by its own tools, on an origin."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client import bare_environment
from conda_channel import PACKAGE, package, repodata
from images import CONFIG, LAYER, MANIFEST, MANIFEST_TYPE
from maven_repository import put_repository
from model_hub import put_model
from origin import Origin
from ruby_gems import put_gems
from signing import SigningHost
from stocks import LASTING, SOURCE, put, put_crates, put_debs, put_modules, put_npm, put_wheels, sha256

RELEASED = "/o/r/releases/download/v1/tiny"


@dataclass(frozen=True)
class Upstream:
    """A repository of one ecosystem, below a path of the origin.

    `stock` puts it there: by the origin, its URL under the upstream's own name, and a folder for what is
    made.
    """

    ecosystem: str
    path: str
    stock: Callable[[Origin, str, Path], object]


def _image(origin: Origin, _base: str, _folder: Path) -> None:
    """A registry with one image, as far as those who pull it ask."""
    put(origin, "/v2/", b"{}", headers=[("Docker-Distribution-API-Version", "registry/2.0")])
    digest = f"sha256:{sha256(MANIFEST)}"
    for reference in ("1", digest):
        fields = [("Content-Type", MANIFEST_TYPE), ("Docker-Content-Digest", digest)]
        put(origin, f"/v2/tiny/manifests/{reference}", MANIFEST, headers=fields)
    for blob in (CONFIG, LAYER):
        put(origin, f"/v2/tiny/blobs/sha256:{sha256(blob)}", blob)


_SPECIFICATION = """Name: tiny
Version: 1.0
Release: 1
Summary: tiny
License: MIT
BuildArch: noarch
%description
tiny
%install
mkdir -p %{buildroot}/opt
cp %{_topdir}/tiny %{buildroot}/opt/tiny
%files
/opt/tiny
"""


def _rpms(origin: Origin, _base: str, folder: Path) -> None:
    (folder / "tiny.spec").write_text(_SPECIFICATION)
    (folder / "tiny").write_bytes(SOURCE)
    repository = folder / "repository"
    repository.mkdir()
    defined = [f"_topdir {folder}", f"_rpmdir {repository}", "_rpmfilename tiny-1.0-1.noarch.rpm"]
    defines = [word for one in defined for word in ("--define", one)]
    for command in (["rpmbuild", "--quiet", "-bb", *defines, "tiny.spec"], ["createrepo_c", "repository"]):
        done = subprocess.run(
            command, cwd=folder, env=bare_environment(folder), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    for path in repository.rglob("*"):
        if path.is_file():
            put(origin, f"/rpms/{path.relative_to(repository)}", path.read_bytes())


def _channel(origin: Origin, _base: str, _folder: Path) -> None:
    archive = package(SOURCE)
    put(origin, f"/conda/noarch/{PACKAGE}", archive)
    put(origin, "/conda/noarch/repodata.json", repodata(archive))


def _release(origin: Origin, base: str, _folder: Path) -> None:
    """A release with one file behind signed addresses, and the interface that lists it."""
    asset = {"browser_download_url": f"{base}{RELEASED}", "digest": f"sha256:{sha256(SOURCE)}"}
    listed = json.dumps({"tag_name": "v1", "assets": [asset]}).encode()
    fields = [("Content-Type", "application/json; charset=utf-8")]
    put(origin, "/repos/o/r/releases/latest", listed, headers=fields)
    SigningHost(origin, origin).put(RELEASED, SOURCE, etag='"1"')


def _file(origin: Origin, _base: str, _folder: Path) -> None:
    digest = base64.b64encode(hashlib.sha256(SOURCE).digest()).decode()
    put(origin, "/files/tiny", SOURCE, headers=[("Repr-Digest", f"sha-256=:{digest}:")])


UPSTREAMS = {
    "pypi": Upstream("pypi", "/", lambda origin, *_: put_wheels(origin)),
    "npm": Upstream("npm", "/", lambda origin, base, _: put_npm(origin, base)),
    "debian": Upstream("apt", "/debian/", lambda origin, _, folder: put_debs(origin, folder)),
    "cargo": Upstream("cargo", "/index/", lambda origin, base, _: put_crates(origin, base)),
    "go": Upstream("go", "/go/", lambda origin, *_: put_modules(origin)),
    "maven": Upstream("maven", "/maven/", lambda origin, *_: put_repository(origin, "/maven/", **LASTING)),
    "gems": Upstream("rubygems", "/gems/", lambda origin, _, folder: put_gems(origin, "/gems/", folder)),
    "hub": Upstream("oci", "/", _image),
    "rpms": Upstream("dnf", "/rpms/", _rpms),
    "conda": Upstream("conda", "/conda/", _channel),
    "hf": Upstream(
        "huggingface", "/", lambda origin, *_: put_model(SigningHost(origin, origin), **LASTING)
    ),
    "github": Upstream("github", "/", _release),
    "files": Upstream("generic", "/files/", _file),
}
"""By the mirrors' names, which are those of their hosts, too: `pypi.test`."""
