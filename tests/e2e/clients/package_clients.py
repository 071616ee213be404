"""Programs that get packages, repositories and images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from client import (
    MODULES,
    PYTHON,
    SOURCE_DIGEST,
    Client,
    Told,
    Visit,
    apt_script,
    cargo_places,
    file_at,
    go_places,
    variables,
)
from images import LAYER_DIGEST
from stocks import SOURCE, sha256

_POSTED = "refs have to be new, and packs are asked for by POST"


def _pip(visit: Visit) -> list[str | Path]:
    options = [
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
        "got",
    ]
    return [
        PYTHON / "python",
        "-m",
        "pip",
        "install",
        "-q",
        *options,
        "--index-url",
        f"{visit.places.origin}/simple",
        "tiny",
    ]


def _uv(visit: Visit) -> list[str | Path]:
    options = ["--no-cache", "--no-config", "--python", PYTHON / "python", "--target", "got"]
    return [
        PYTHON / "uv",
        "pip",
        "install",
        "-q",
        *options,
        "--default-index",
        f"{visit.places.origin}/simple",
        "tiny",
    ]


def _npm_kind(tool: Path | str, *arguments: str) -> Callable[[Visit], Sequence[str | Path]]:
    def command(visit: Visit) -> list[str | Path]:
        visit.write("package.json", json.dumps({"name": "user", "version": "1.0.0", "private": True}))
        return [tool, *arguments, "tiny", f"--registry={visit.places.origin}/"]

    return command


def _apt(visit: Visit) -> list[str | Path]:
    source = f"deb [signed-by={visit.places.keyring}] {visit.places.origin}/debian ./"
    return ["sh", apt_script(visit.folder, source)]


def _told_apt(told: Told) -> Mapping[str, str]:
    file = told.ca.with_suffix(".apt")
    file.write_text(f'Acquire::https {{ Proxy "{told.proxy}"; CaInfo "{told.ca}"; }};\n')
    return {"APT_CONFIG": str(file)}


def _cargo(visit: Visit) -> list[str | Path]:
    manifest = '[package]\nname = "user"\nversion = "0.1.0"\nedition = "2021"\n'
    visit.write("Cargo.toml", manifest + '[dependencies]\ntiny = { version = "1", registry = "tests" }\n')
    visit.write("src/lib.rs", "")
    index = f'[registries.tests]\nindex = "sparse+{visit.places.origin}/index/"\n'
    visit.write(".cargo/config.toml", index)
    return ["cargo", "fetch", "-q"]


def _git(kind: str, asks_anew: str = "") -> Client:
    return Client(
        name=f"git ({kind} HTTP)",
        told_by="`https_proxy`, `GIT_SSL_CAINFO`",
        tools=("git",),
        command=lambda visit: ["git", "clone", "-q", f"{visit.places.origin}/{kind}.git", "got"],
        got=file_at("got/tiny"),
        telling=variables("https_proxy", ca=["GIT_SSL_CAINFO"]),
        digest=SOURCE_DIGEST,
        version=("git", "--version"),
        asks_anew=asks_anew,
        is_cached=not asks_anew,
    )


def _skopeo(visit: Visit) -> list[str | Path]:
    place = urlsplit(visit.places.images).netloc
    return ["skopeo", "--insecure-policy", "copy", "-q", f"docker://{place}/tiny:1", "dir:got"]


PACKAGE_CLIENTS = (
    Client(
        name="pip",
        told_by="`https_proxy` or `PIP_PROXY`, `PIP_CERT`",
        tools=(PYTHON / "pip",),
        command=_pip,
        got=file_at("got/tiny.py"),
        telling=variables("https_proxy", ca=["PIP_CERT"]),
        digest=SOURCE_DIGEST,
        version=(str(PYTHON / "python"), "-m", "pip", "--version"),
    ),
    Client(
        name="uv",
        told_by="`https_proxy`, `SSL_CERT_FILE`",
        tools=(PYTHON / "uv",),
        command=_uv,
        got=file_at("got/tiny.py"),
        telling=variables("https_proxy", ca=["SSL_CERT_FILE"]),
        digest=SOURCE_DIGEST,
        version=(str(PYTHON / "uv"), "--version"),
    ),
    Client(
        name="npm",
        told_by="`npm_config_https_proxy` or `https_proxy`, `npm_config_cafile`",
        tools=("npm",),
        command=_npm_kind("npm", "install", "--no-audit", "--no-fund", "--no-update-notifier"),
        got=file_at("node_modules/tiny/tiny.js"),
        telling=variables("https_proxy", ca=["npm_config_cafile"]),
        digest=SOURCE_DIGEST,
        version=("npm", "--version"),
    ),
    Client(
        name="pnpm",
        told_by="`https_proxy`, `npm_config_cafile`",
        tools=(MODULES / ".bin" / "pnpm",),
        command=_npm_kind(MODULES / ".bin" / "pnpm", "add", "--store-dir=store"),
        got=file_at("node_modules/tiny/tiny.js"),
        telling=variables("https_proxy", ca=["npm_config_cafile"]),
        digest=SOURCE_DIGEST,
        version=(str(MODULES / ".bin" / "pnpm"), "--version"),
    ),
    Client(
        name="yarn 1",
        told_by="`https_proxy`, `npm_config_cafile`",
        tools=(MODULES / ".bin" / "yarn",),
        command=_npm_kind(MODULES / ".bin" / "yarn", "add", "--silent", "--cache-folder=store"),
        got=file_at("node_modules/tiny/tiny.js"),
        telling=variables("https_proxy", ca=["npm_config_cafile"]),
        digest=SOURCE_DIGEST,
        version=(str(MODULES / ".bin" / "yarn"), "--version"),
    ),
    _git("smart", _POSTED),
    _git("dumb"),
    Client(
        name="apt",
        told_by="`Acquire::https::Proxy`, `Acquire::https::CaInfo`, as in a file that `APT_CONFIG` names",
        tools=("apt-get", "dpkg-deb", "gpg", "gpgv"),
        command=_apt,
        got=file_at("got/opt/tiny"),
        telling=_told_apt,
        digest=SOURCE_DIGEST,
        version=("apt-get", "--version"),
    ),
    Client(
        name="cargo",
        told_by="`https_proxy` or `CARGO_HTTP_PROXY`, `CARGO_HTTP_CAINFO`",
        tools=("cargo",),
        command=_cargo,
        got=file_at("cargo/registry/src/*/tiny-1.0.0/src/lib.rs"),
        telling=variables("https_proxy", ca=["CARGO_HTTP_CAINFO"]),
        digest=sha256(b"// " + SOURCE),
        variables=lambda visit: cargo_places(visit.folder),
        version=("cargo", "--version"),
    ),
    Client(
        name="Go",
        told_by="`https_proxy`, `SSL_CERT_FILE`",
        tools=("go",),
        command=lambda _visit: ["go", "mod", "download", "example.test/tiny@v1.0.0"],
        got=file_at("go/pkg/mod/example.test/tiny@v1.0.0/tiny.txt"),
        telling=variables("https_proxy", ca=["SSL_CERT_FILE"]),
        digest=SOURCE_DIGEST,
        variables=lambda visit: {
            **go_places(visit.folder),
            "GOFLAGS": "-modcacherw -mod=mod",
            "GOPROXY": f"{visit.places.origin}/go",
        },
        version=("go", "version"),
    ),
    Client(
        name="skopeo",
        told_by="`https_proxy`, `SSL_CERT_FILE`",
        tools=("skopeo", "docker-registry"),
        command=_skopeo,
        got=file_at(f"got/{LAYER_DIGEST}"),
        telling=variables("https_proxy", ca=["SSL_CERT_FILE"]),
        digest=LAYER_DIGEST,
        version=("skopeo", "--version"),
        of_images=True,
        asks_anew="the registry's greeting and tags have to be new",
    ),
)
