"""apt-get, pip and npm as they are, each time on a machine that has nothing yet."""

from __future__ import annotations

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from compare.servers import Server
from debian_archive import AptGet

from mirrored.caches import AptCacherNg, Proxpi, Verdaccio
from mirrored.packages import (
    RELEASES,
    Paths,
    debian_archive,
    debian_names,
    npm_project,
    npm_registry,
    python_index,
    python_names,
)
from mirrored.upstream import Upstream

_PYTHON = Path(sys.base_prefix) / "bin" / "python3"
"""That has pip, which an environment need not."""


class PackageClient(ABC):
    """A client with what it downloads; `needs` are programs without which it cannot be tried."""

    name: ClassVar[str]
    peer: ClassVar[type[Server]]
    needs: ClassVar[tuple[str, ...]]
    what: str
    tree: Paths

    @abstractmethod
    def run(self, folder: Path, cache: Server | None) -> None:
        """Downloads all by the cache, or without one, in an empty folder; RuntimeError where that fails."""


class Apt(PackageClient):
    """`apt-get update`, and a download of all packages for an installation; by a mirror or peer's proxy."""

    name, peer = "apt", AptCacherNg
    needs = ("apt-get", "apt-ftparchive", "dpkg-deb", "gpg", "gpgv")

    def __init__(self, upstream: Upstream, folder: Path, count: int, large: int, size: int) -> None:
        self._names, self._upstream, self._folder = debian_names(count), upstream, folder
        self.tree = debian_archive(folder, count, large, size)
        self.what = f"apt-get update and {count} packages, {large} of them of {size / 1e6:.0f} MB"

    def run(self, folder: Path, cache: Server | None) -> None:
        proxied = isinstance(cache, AptCacherNg)
        base = f"{self._upstream.url}/debian" if cache is None or proxied else f"{cache.url}/apt"
        options = {"Acquire__http__Proxy": cache.url} if cache is not None and proxied else {}
        source = f"deb [signed-by={self._folder}/key.gpg] {base} stable main"
        apt = AptGet(folder, source, **options)
        for command in (("update", "-oAPT::Update::Error-Mode=any"), ("install", "-d", *self._names)):
            done = apt.run(*command)
            if done.returncode:
                raise RuntimeError(f"apt-get {command[0]}: {done.stdout[-1000:]}\n{done.stderr[-1000:]}")
        expect(len(self._names), folder / "archives", "*.deb")


class Pip(PackageClient):
    """`pip download` of exact versions, without their needs and without pip's own cache."""

    name, peer = "pip", Proxpi
    needs = (str(_PYTHON),)

    def __init__(self, upstream: Upstream, count: int) -> None:
        self._names, self._upstream = python_names(count), upstream
        self.tree = python_index(upstream.url, count)
        self.what = f"pip download of {count} packages"

    def run(self, folder: Path, cache: Server | None) -> None:
        folder.mkdir()
        index = f"{self._upstream.url}/pypi/simple/"
        if cache is not None:
            index = f"{cache.url}/index/" if isinstance(cache, Proxpi) else f"{cache.url}/pypi/simple/"
        options = ["--no-deps", "--no-cache-dir", "--disable-pip-version-check", "-q", "-d", "."]
        wanted = [f"{name}==1.{RELEASES - 1}" for name in self._names]
        variables = {"PIP_CONFIG_FILE": os.devnull}
        command = [str(_PYTHON), "-m", "pip", "download", "-i", index, *options, *wanted]
        called(command, folder, variables)
        expect(len(self._names), folder, "*.whl")


class Npm(PackageClient):
    """`npm ci` of a project whose lock file names digests but no addresses: documents and archives."""

    name, peer, needs = "npm", Verdaccio, ("npm",)

    def __init__(self, upstream: Upstream, count: int) -> None:
        names = python_names(count)
        self._count, self._upstream = count, upstream
        self.tree = npm_registry(upstream.url, count)
        self._project = npm_project(names, self.tree)
        self.what = f"npm ci of {count} packages"

    def run(self, folder: Path, cache: Server | None) -> None:
        folder.mkdir()
        for name, text in self._project.items():
            (folder / name).write_text(text)
        registry = f"{self._upstream.url}/npm/"
        if cache is not None:
            registry = f"{cache.url}/" if isinstance(cache, Verdaccio) else f"{cache.url}/npm/"
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        called(["npm", "ci", *options, f"--registry={registry}", f"--cache={folder}/.npm"], folder, {})
        expect(self._count, folder, "node_modules/*/data.bin")


def called(command: list[str], folder: Path, variables: Mapping[str, str]) -> None:
    """Runs it in the folder, which is its home, too; RuntimeError with what it said where it fails."""
    bare = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    done = subprocess.run(
        command, cwd=folder, env={**bare, **variables}, capture_output=True, text=True, timeout=200
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout[-1000:]}\n{done.stderr[-1000:]}")


def expect(count: int, folder: Path, pattern: str) -> None:
    """RuntimeError unless there are so many such files."""
    found = sum(1 for _ in folder.glob(pattern))
    if found != count:
        raise RuntimeError(f"{found} of {count} files of {pattern} came")
