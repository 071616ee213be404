"""What a client is to these tests: a program, how it is told of the cache, and what it has to get."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from stocks import FILE, SOURCE, sha256

PREFIX = Path(sys.prefix) / "clients"
"""Where `make clients` installs those that the system does not have."""

PYTHON = PREFIX / "python" / "bin"
MODULES = PREFIX / "node_modules"
FILE_DIGEST, SOURCE_DIGEST = FILE.sha256(), sha256(SOURCE)


@dataclass(frozen=True)
class Places:
    """The URLs of the origin, of the registry of images, and of an echo by WebSocket, and apt's key."""

    origin: str
    images: str
    echo: str
    keyring: Path


@dataclass(frozen=True)
class Told:
    """What a client is told: the proxy to ask, and the file of authorities to trust."""

    proxy: str
    ca: Path


@dataclass(frozen=True)
class Visit:
    """One run of a client in a folder of its own; `told` is None where its environment has told it all."""

    places: Places
    folder: Path
    told: Told | None

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@dataclass(frozen=True)
class Client:
    """A program, run once for each visit.

    `command` writes what it needs into the visit's folder; `variables` are those of any run of it,
    `telling` those that tell it of the cache. `digest` is what `got` has to give: the SHA-256 of what has
    come. `asks_anew`: what it asks the origin for each time, "" if all comes from the cache later on.
    `is_cached`: whether anything does. `of_images`: it asks the registry of images.
    `not_by_run`: why `run --` cannot tell it of the cache.
    """

    name: str
    told_by: str
    tools: tuple[Path | str, ...]
    command: Callable[[Visit], Sequence[str | Path]]
    got: Callable[[Visit, str], str]
    telling: Callable[[Told], Mapping[str, str]]
    digest: str = FILE_DIGEST
    variables: Callable[[Visit], Mapping[str, str]] = lambda _visit: {}
    version: tuple[str, ...] = ()
    asks_anew: str = ""
    is_cached: bool = True
    of_images: bool = False
    not_by_run: str = ""

    def require(self) -> None:
        """Skips the test where a tool is missing."""
        for tool in self.tools:
            if shutil.which(tool) is None and not Path(tool).exists():
                name = tool if isinstance(tool, str) else tool.relative_to(PREFIX)
                pytest.skip(f"{name} is not installed: make clients")

    def visited(
        self,
        visit: Visit,
        wrap: Callable[[list[str]], list[str]] = list,
        around: Mapping[str, str] | None = None,
    ) -> str:
        """Runs it, and gives the digest of what it got; AssertionError with its words where it fails.

        `wrap` makes the command of one that runs it, and `around` is what that one's environment has more.
        """
        visit.folder.mkdir(parents=True)
        command = [str(word) for word in self.command(visit)]
        told = {} if visit.told is None else self.telling(visit.told)
        environment = {**bare_environment(visit.folder), **self.variables(visit), **told, **(around or {})}
        # Sockets have short paths, and the folder of a test may have a long one.
        with TemporaryDirectory() as temporary:
            environment["TMPDIR"] = temporary
            done = subprocess.run(
                wrap(command),
                cwd=visit.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=100,
            )
        words = f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 0, f"status {done.returncode}: {words}"
        return self.got(visit, done.stdout)

    def shown_version(self) -> str:
        """The version as the program tells it, "" if it tells none."""
        return version_told(tuple(map(str, self.version))) if self.version else ""


@functools.cache
def version_told(command: tuple[str, ...]) -> str:
    """The version in what the command prints, "" if there is none."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return ""
    found = re.search(r"\d+\.\d[\d.]*", done.stdout + done.stderr)
    return found[0] if found else ""


def bare_environment(folder: Path) -> dict[str, str]:
    """Nothing that a client could know of proxies, authorities or registries of this machine."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "XDG_DATA_HOME": str(folder / ".local"),
        "XDG_RUNTIME_DIR": str(folder),
    }


def cargo_places(folder: Path) -> dict[str, str]:
    """Variables by which cargo keeps all in the folder, and finds its own programs."""
    rust = os.environ.get("RUSTUP_HOME") or str(Path("~/.rustup").expanduser())
    return {"CARGO_HOME": str(folder / "cargo"), "RUSTUP_HOME": rust}


def go_places(folder: Path) -> dict[str, str]:
    """Variables by which go keeps all in the folder, and asks no database of checksums."""
    own = {"GOPATH": str(folder / "go"), "GOCACHE": str(folder / "gocache"), "GO111MODULE": "on"}
    return {**own, "GOFLAGS": "-modcacherw", "GOSUMDB": "off", "GOTOOLCHAIN": "local"}


def apt_script(folder: Path, source: str) -> Path:
    """A script by which apt downloads `tiny` from this source alone, and which unpacks it into `got`."""
    for part in ("lists/partial", "archives/partial", "sources.list.d", "parts"):
        (folder / part).mkdir(parents=True)
    (folder / "sources.list.d" / "tiny.list").write_text(f"{source}\n")
    options = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": folder / "sources.list.d",
        "Dir::Etc::Parts": folder / "parts",
        "Dir::State::lists": f"{folder}/lists/",
        "Dir::Cache": folder,
        "Dir::Cache::archives": f"{folder}/archives/",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Acquire::Retries": "0",
        "Acquire::Languages": "none",
    }
    apt = " ".join(["apt-get", "-q", *(f"-o {name}='{value}'" for name, value in options.items())])
    steps = (
        f"{apt} -o APT::Update::Error-Mode=any update",
        f"{apt} download tiny",
        "dpkg-deb -x *.deb got",
    )
    script = folder / "get.sh"
    script.write_text("\n".join(("set -e", *steps, "")))
    return script


def file_at(name: str) -> Callable[[Visit, str], str]:
    """Gives the digest of the one file with this path, which may have wildcards."""

    def got(visit: Visit, _said: str) -> str:
        (found,) = visit.folder.glob(name)
        return sha256(found.read_bytes())

    return got


def last_word(_visit: Visit, said: str) -> str:
    """The digest that the client itself has printed."""
    return said.split()[-1]


def variables(*proxies: str, ca: Sequence[str] = ()) -> Callable[[Told], Mapping[str, str]]:
    """Tells by environment: these name the proxy, and those the file of authorities."""

    def telling(told: Told) -> Mapping[str, str]:
        return {**dict.fromkeys(proxies, told.proxy), **dict.fromkeys(ca, str(told.ca))}

    return telling
