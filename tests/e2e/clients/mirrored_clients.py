"""Clients of mirrors: how each installs a package, and what its row of docs/ecosystems.md says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from client import (
    MODULES,
    PYTHON,
    SOURCE_DIGEST,
    apt_script,
    bare_environment,
    cargo_places,
    go_places,
    version_told,
)
from conda_channel import INSTALL, PACKAGE
from images import LAYER_DIGEST
from language_clients import module_sum
from maven_repository import PROJECT, VALIDATE, jar
from mirror_stocks import RELEASED, UPSTREAMS
from model_hub import COMMIT, MODEL, SNAPSHOT
from ruby_gems import library
from stocks import GO_MOD, MODULE, SOURCE, sha256

from pyproxycache.mirrors.clients.client_setup import MirrorAddress, client_setups

BY_ALL = ("mirror", "proxy", "prefix")
_SHOWN = "http://cache:3128"
"""The cache's address on the page."""


@dataclass(frozen=True)
class Stay:
    """One run of a client in a folder of its own: the repository's URL, and its variables beside others.

    `lines` are those of the client's own file, `proxy` is the URL of the proxy, "" for none.
    """

    folder: Path
    url: str
    told: Mapping[str, str]
    lines: Sequence[str]
    proxy: str
    keyring: Path

    def write(self, name: str, *lines: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))


@dataclass(frozen=True)
class MirroredClient:
    """A client, its mirror, and how it installs the package `tiny`; `got` is the path of what is inside.

    `file` is the origin's path of the package, `index` of what names it. `ways` are those by which it gets
    it from the cache: by those of `online` only while the origin is there, by those of `validated` once
    that has said that the package is unchanged; `not_by` has the others, and why not. `setting` is said
    where `mirror use` has no words for the client, whose name there is `setup`. The rest is what its row
    says, and what the tests hold.
    """

    name: str
    mirror: str
    tools: tuple[Path | str, ...]
    command: Callable[[Stay], Sequence[str | Path]]
    got: str
    file: str
    version: tuple[str | Path, ...]
    index: str
    rewritten: str = "nothing; links are relative"
    digest: str = SOURCE_DIGEST
    variables: Callable[[Stay], Mapping[str, str]] = lambda _stay: {}
    setup: str = ""
    setting: str = ""
    checked: tuple[str, ...] = ("the cache", "the client")
    not_by: Mapping[str, str] = field(default_factory=dict)
    online: tuple[str, ...] = ()
    validated: tuple[str, ...] = ()
    offline: str = "all that was installed before"

    @property
    def ways(self) -> tuple[str, ...]:
        return tuple(way for way in BY_ALL if way not in self.not_by)

    @property
    def known_as(self) -> str:
        """Its name in what `mirror use` says."""
        return self.setup or self.name

    @property
    def is_rewritten(self) -> bool:
        return not self.rewritten.startswith("nothing")

    def require(self) -> None:
        """Skips the test where a tool is missing."""
        for tool in self.tools:
            if shutil.which(tool) is None and not Path(tool).exists():
                pytest.skip(f"{Path(tool).name} is not installed: make clients")
        if not version_told(tuple(map(str, self.version))):
            pytest.skip(f"{self.name} is not installed: make clients")

    def installed(self, stay: Stay, wrap: Callable[[list[str]], list[str]] = list) -> str:
        """Runs it, and gives the digest of what it got; AssertionError with its words where it fails.

        `wrap` makes the command of one that runs it.
        """
        stay.folder.mkdir(parents=True)
        environment = {**bare_environment(stay.folder), **self.variables(stay), **stay.told}
        command = wrap([str(word) for word in self.command(stay)])
        done = subprocess.run(
            command, cwd=stay.folder, env=environment, capture_output=True, text=True, timeout=100
        )
        words = f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, f"status {done.returncode}: {words}"
        (found,) = stay.folder.glob(self.got)
        return sha256(found.read_bytes())

    def row(self, version: str) -> tuple[str, ...]:
        """The cells of its row."""
        tried = [", ".join(self.ways), *(f"no {way}: {why}" for way, why in self.not_by.items())]
        checked = f"by {' and '.join(self.checked)}"
        return (
            self.name,
            version,
            self._told_by(),
            "; ".join(tried),
            checked,
            self.rewritten,
            self.offline,
        )

    def _told_by(self) -> str:
        """What `mirror use` says."""
        if self.setting:
            return self.setting
        address = MirrorAddress(_SHOWN, self.mirror, f"https://{self.mirror}.example/")
        ecosystem = UPSTREAMS[self.mirror].ecosystem
        (told,) = [one for one in client_setups(ecosystem, address) if one.client == self.known_as]
        if told.variables:
            return ", ".join(f"`{name}={value}`" for name, value in told.variables.items())
        lines = ", ".join(f"`{line}`" for line in told.lines if not line.startswith("#"))
        return f"{lines} in `{told.file}`"


def _pip(_stay: Stay) -> list[str | Path]:
    options = [
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--retries=0",
        "--no-deps",
        "--target",
        "got",
    ]
    return [sys.executable, "-m", "pip", "install", "-q", *options, "tiny"]


def _uv(_stay: Stay) -> list[str | Path]:
    options = ["--no-cache", "--no-config", "--python", sys.executable, "--target", "got"]
    return [PYTHON / "uv", "pip", "install", "-q", *options, "tiny"]


def _npm_kind(tool: Path | str, *arguments: str) -> Callable[[Stay], Sequence[str | Path]]:
    def command(stay: Stay) -> list[str | Path]:
        stay.write("package.json", json.dumps({"name": "user", "version": "1.0.0", "private": True}))
        return [tool, *arguments, "tiny"]

    return command


def _apt(stay: Stay) -> list[str | Path]:
    return ["sh", apt_script(stay.folder, f"deb [signed-by={stay.keyring}] {stay.url} ./")]


def _cargo(stay: Stay) -> list[str | Path]:
    package = ("[package]", 'name = "user"', 'version = "0.1.0"', 'edition = "2021"')
    stay.write("Cargo.toml", *package, "[dependencies]", 'tiny = "1"')
    stay.write("src/lib.rs")
    stay.write(".cargo/config.toml", *stay.lines, "[net]", "retry = 0")
    return ["cargo", "fetch", "-q"]


def _go(stay: Stay) -> list[str | Path]:
    name, version = "example.test/tiny", "v1.0.0"
    sums = {version: module_sum(MODULE), f"{version}/go.mod": module_sum({"go.mod": GO_MOD})}
    stay.write("go.mod", "module example.test/user", "go 1.18", f"require {name} {version}")
    stay.write("go.sum", *(f"{name} {of} {digest}" for of, digest in sums.items()))
    return ["go", "mod", "download", name]


def _maven(stay: Stay) -> list[str | Path]:
    (settings,) = stay.lines
    if stay.proxy:
        proxy = urlsplit(stay.proxy)
        told = f"<protocol>http</protocol><host>{proxy.hostname}</host><port>{proxy.port}</port>"
        end = "</settings>"
        settings = settings.replace(end, f"<proxies><proxy>{told}</proxy></proxies>{end}")
    stay.write("settings.xml", settings)
    stay.write("pom.xml", PROJECT)
    return [*VALIDATE]


def _gem(stay: Stay) -> list[str | Path]:
    stay.write(".gemrc", *stay.lines)
    return ["gem", "install", "--no-document", "--install-dir", "got", "tiny"]


def _bundler(stay: Stay) -> list[str | Path]:
    stay.write("Gemfile", 'source "https://gems.invalid"', 'gem "tiny"')
    return ["bundle", "install"]


def _skopeo(stay: Stay) -> list[str | Path]:
    image = f"docker://{stay.url.partition('://')[2]}tiny:1"
    return ["skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", image, "dir:got"]


def _dnf(stay: Stay) -> list[str | Path]:
    stay.write("repositories/tiny.repo", "[tiny]", "name=tiny", *stay.lines)
    places = (
        "reposdir=repositories",
        "cachedir=cache",
        "logdir=log",
        "persistdir=state",
        "varsdir=variables",
    )
    own = (place.replace("=", f"={stay.folder}/") for place in places)
    stay.write("dnf.conf", "[main]", "gpgcheck=0", "retries=1", *own)
    root = [f"--installroot={stay.folder / 'got'}", "--releasever=1", "--config=dnf.conf"]
    return ["dnf", "-q", "-y", *root, "install", "tiny"]


def _rattler(stay: Stay) -> list[str | Path]:
    return [PYTHON / "python", "-c", INSTALL, stay.url.rstrip("/"), "repodata"]


def _of_the_hub(stay: Stay) -> Mapping[str, str]:
    """Mirrors leave out what leads to Xet; else the client has to be told."""
    own = {"HF_HOME": str(stay.folder / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return own if "hf.test" not in stay.url else {**own, "HF_HUB_DISABLE_XET": "1"}


_NEWEST = """set -e
url=$(curl -fsS "$1repos/o/r/releases/latest" | sed 's/.*"browser_download_url": *"\\([^"]*\\)".*/\\1/')
curl -fsSL -o got "$url"
"""


def _release(stay: Stay) -> list[str | Path]:
    """As scripts get the newest release: they ask the interface for its address."""
    return ["sh", "-c", _NEWEST, "sh", stay.url]


def _of(package: str) -> tuple[str | Path, ...]:
    """The command that tells the version of a package for Python."""
    return (PYTHON / "python", "-c", f"import importlib.metadata as m; print(m.version('{package}'))")


_WHEEL = "/wheels/tiny-1.0-py3-none-any.whl"
_LINKED = {"prefix": "links lead to the registry itself"}


def _of_npm(name: str, tool: Path | str, arguments: tuple[str, ...]) -> MirroredClient:
    """A client of npm's registry."""
    return MirroredClient(
        name=name,
        mirror="npm",
        tools=(tool,),
        command=_npm_kind(tool, *arguments),
        got="node_modules/tiny/tiny.js",
        file="/tiny/-/tiny-1.0.0.tgz",
        version=(tool, "--version"),
        index="/tiny",
        rewritten="`dist.tarball`",
        not_by=_LINKED,
    )


MIRRORED_CLIENTS = (
    MirroredClient(
        name="pip",
        mirror="pypi",
        tools=(sys.executable,),
        command=_pip,
        got="got/tiny.py",
        file=_WHEEL,
        version=(sys.executable, "-m", "pip", "--version"),
        index="/simple/tiny/",
        rewritten="links of pages",
    ),
    MirroredClient(
        name="uv",
        mirror="pypi",
        tools=(PYTHON / "uv",),
        command=_uv,
        got="got/tiny.py",
        file=_WHEEL,
        version=(PYTHON / "uv", "--version"),
        index="/simple/tiny/",
        rewritten="links of pages",
    ),
    _of_npm(
        "npm",
        "npm",
        ("install", "--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0"),
    ),
    _of_npm("pnpm", MODULES / ".bin" / "pnpm", ("add", "--store-dir=store", "--fetch-retries=0")),
    _of_npm("yarn 1", MODULES / ".bin" / "yarn", ("add", "--silent", "--cache-folder=store")),
    MirroredClient(
        name="apt",
        mirror="debian",
        tools=("apt-get", "dpkg-deb", "gpg", "gpgv"),
        command=_apt,
        got="got/opt/tiny",
        file="/debian/./tiny.deb",
        version=("apt-get", "--version"),
        index="/debian/./Packages.gz",
    ),
    MirroredClient(
        name="dnf",
        mirror="rpms",
        tools=("dnf", "rpmbuild", "createrepo_c"),
        command=_dnf,
        got="got/opt/tiny",
        file="/rpms/tiny-1.0-1.noarch.rpm",
        version=("dnf", "--version"),
        index="/rpms/repodata/repomd.xml",
    ),
    MirroredClient(
        name="cargo",
        mirror="cargo",
        tools=("cargo",),
        command=_cargo,
        got="cargo/registry/src/*/tiny-1.0.0/src/lib.rs",
        digest=sha256(b"// " + SOURCE),
        variables=lambda stay: cargo_places(stay.folder),
        file="/crates/tiny/1.0.0/download",
        version=("cargo", "--version"),
        index="/index/config.json",
        rewritten="`dl` of `config.json`",
        not_by=_LINKED,
    ),
    MirroredClient(
        name="Go",
        setup="go",
        mirror="go",
        tools=("go",),
        command=_go,
        got="go/pkg/mod/example.test/tiny@v1.0.0/tiny.txt",
        variables=lambda stay: go_places(stay.folder),
        file="/go/example.test/tiny/@v/v1.0.0.zip",
        version=("go", "version"),
        index="/go/example.test/tiny/@v/list",
        rewritten="nothing; there are no links",
        checked=("the client",),
    ),
    MirroredClient(
        name="Maven",
        setup="maven",
        mirror="maven",
        tools=("mvn",),
        command=_maven,
        got="repository/org/test/ext/1.5/ext-1.5.jar",
        digest=sha256(jar("1")),
        file="/maven/org/test/ext/1.5/ext-1.5.jar",
        version=("mvn", "--version"),
        index="/maven/org/test/parent/maven-metadata.xml",
        rewritten="nothing; there are no links",
        validated=("proxy", "prefix"),
    ),
    MirroredClient(
        name="gem",
        mirror="gems",
        tools=("gem",),
        command=_gem,
        got="got/gems/tiny-1.0.0/lib/tiny.rb",
        digest=sha256(library("tiny").encode()),
        file="/gems/gems/tiny-1.0.0.gem",
        version=("gem", "--version"),
        index="/gems/info/tiny",
    ),
    MirroredClient(
        name="bundler",
        mirror="gems",
        tools=("gem", "bundle"),
        command=_bundler,
        got="got/**/gems/tiny-1.0.0/lib/tiny.rb",
        digest=sha256(library("tiny").encode()),
        variables=lambda stay: {
            "BUNDLE_PATH": str(stay.folder / "got"),
            "BUNDLE_USER_HOME": str(stay.folder / "bundler"),
            "BUNDLE_RETRY": "0",
            "BUNDLE_SILENCE_ROOT_WARNING": "1",
        },
        file="/gems/gems/tiny-1.0.0.gem",
        version=("bundle", "--version"),
        index="/gems/info/tiny",
    ),
    MirroredClient(
        name="skopeo",
        mirror="hub",
        tools=("skopeo",),
        command=_skopeo,
        got=f"got/{LAYER_DIGEST}",
        digest=LAYER_DIGEST,
        setting="`docker://cache:3128/hub/tiny:1`",
        file=f"/v2/tiny/blobs/sha256:{LAYER_DIGEST}",
        version=("skopeo", "--version"),
        index="/v2/tiny/manifests/1",
        rewritten="nothing; there are no links",
        not_by={"prefix": "names of images are no URLs"},
        online=("proxy",),
        offline="all that was pulled before; not by proxy, as the registry's greeting has to be new",
    ),
    MirroredClient(
        name="py-rattler (conda)",
        mirror="conda",
        tools=(PYTHON / "python",),
        command=_rattler,
        got="prefix/share/tiny.txt",
        setting="the channel's address: `http://cache:3128/conda`",
        file=f"/conda/noarch/{PACKAGE}",
        version=_of("py-rattler"),
        index="/conda/noarch/repodata.json",
    ),
    MirroredClient(
        name="huggingface_hub",
        setup="huggingface",
        mirror="hf",
        tools=(PYTHON / "python",),
        command=lambda _stay: [PYTHON / "python", "-c", SNAPSHOT],
        got="hf/hub/models--org--tiny/snapshots/*/model.bin",
        digest=MODEL.sha256(),
        variables=_of_the_hub,
        file=f"/org/tiny/resolve/{COMMIT}/model.bin",
        version=_of("huggingface_hub"),
        index=f"/api/models/org/tiny/tree/{COMMIT}",
        rewritten="`xetHash` and fields of Xet are left out",
        checked=("the cache",),
    ),
    MirroredClient(
        name="curl (releases)",
        mirror="github",
        tools=("curl",),
        command=_release,
        got="got",
        setting="`http://cache:3128/github/` in place of the host and of its interface",
        file=RELEASED,
        version=("curl", "--version"),
        index="/repos/o/r/releases/latest",
        rewritten="`browser_download_url`",
        checked=("the cache",),
        not_by={"prefix": "links of the interface lead to the host itself"},
    ),
    MirroredClient(
        name="curl (generic)",
        mirror="files",
        tools=("curl",),
        command=lambda stay: ["curl", "-fsS", "-o", "got", f"{stay.url}tiny"],
        got="got",
        setting="`http://cache:3128/files/` in place of the server",
        file="/files/tiny",
        version=("curl", "--version"),
        index="/files/tiny",
        rewritten="nothing",
        checked=("the cache",),
    ),
)
