"""An archive of Debian's kind on an origin, in generations, and apt-get in a root of its own."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from harness import clean_environment
from origin import Origin

SUITE = "dists/stable"
PACKAGE = "pool/main/t/tiny/tiny_1.0+b1_all.deb"


def needs(*tools: str) -> None:
    """Skips the test where one of the programs is missing."""
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


class DebianArchive:
    """One package below /debian/ of the origin; each generation has it with another description.

    `folder` takes the key that signs the archive; `by_hash`: indexes are there by their digests, too.
    """

    def __init__(self, origin: Origin, folder: Path, *, by_hash: bool = True) -> None:
        needs("apt-get", "dpkg-deb", "gpg", "gpgv")
        self.origin = origin
        self.folder = folder
        self.by_hash = by_hash
        self.keyring = folder / "key.gpg"
        self.generation = 0
        (folder / "gnupg").mkdir(parents=True, mode=0o700)
        self._gpg("--quick-gen-key", "tests@cache.invalid")
        self.keyring.write_bytes(self._gpg("--export"))
        self.package = self._built()
        self.put(PACKAGE.replace("+", "%2b"), self.package, 1)  # as apt asks for it

    def publish(self, generation: int) -> None:
        """Puts all of a generation there: the indexes, and the InRelease that names them."""
        self.publish_indexes(generation)
        self.publish_release(generation)

    def publish_indexes(self, generation: int) -> None:
        """Puts the indexes there, under their names and by their digests."""
        for name, content in self.indexes(generation).items():
            self.put(f"{SUITE}/{name}", content, generation)
            if self.by_hash:
                folder = name.rpartition("/")[0]
                self.put(f"{SUITE}/{folder}/by-hash/SHA256/{sha256(content)}", content, generation)

    def publish_release(self, generation: int) -> None:
        """Puts an InRelease there that names the indexes of the generation."""
        files = self.indexes(generation).items()
        lines = [f" {sha256(content)} {len(content)} {name}" for name, content in files]
        head = ["Origin: tests", "Suite: stable", "Codename: stable", "Components: main"]
        head += ["Architectures: amd64", f"Date: Sat, 0{generation} Jan 2022 00:00:00 UTC"]
        head += ["Acquire-By-Hash: yes"] * self.by_hash
        release = "\n".join([*head, "SHA256:", *lines, ""]).encode()
        self.put(f"{SUITE}/InRelease", self._gpg("--clearsign", content=release), generation)

    def indexes(self, generation: int) -> Mapping[str, bytes]:
        """The indexes of a generation by their names below the suite."""
        told = f"Size: {len(self.package)}\nSHA256: {sha256(self.package)}\n"
        about = f"Description: of generation {generation}\n"
        stanza = f"{self._control()}Filename: {PACKAGE}\n{told}{about}".encode()
        name = "main/binary-amd64/Packages"
        return {
            name: stanza,
            f"{name}.gz": gzip.compress(stanza, mtime=0),
            f"{name}.xz": lzma.compress(stanza),
        }

    def put(self, path: str, content: bytes, generation: int) -> None:
        """Puts a file there, as servers of archives do: with a date, and no Cache-Control."""
        date = f"Sat, 0{generation} Jan 2022 00:00:00 GMT"
        self.origin.put(f"/debian/{path}", content, etag=f'"{generation}"', last_modified=date)

    def asked(self, path: str) -> list[str]:
        """The paths that the origin was asked for and that contain this one."""
        return [one.local_target for one in self.origin.requests if path in one.local_target]

    @staticmethod
    def _control() -> str:
        return (
            "Package: tiny\nVersion: 1.0+b1\nArchitecture: all\nMaintainer: Tests <tests@cache.invalid>\n"
        )

    def _built(self) -> bytes:
        root = self.folder / "root"
        (root / "DEBIAN").mkdir(parents=True, mode=0o755)
        (root / "DEBIAN" / "control").write_text(f"{self._control()}Description: tiny\n")
        (root / "tiny.txt").write_text("tiny\n")
        built = self.folder / "tiny.deb"
        command = ["dpkg-deb", "--root-owner-group", "--build", str(root), str(built)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return built.read_bytes()

    def _gpg(self, *arguments: str, content: bytes = b"") -> bytes:
        home = str(self.folder / "gnupg")
        command = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", "", *arguments]
        return subprocess.run(command, input=content, check=True, capture_output=True, timeout=60).stdout


class AptGet:
    """apt-get with one source, told of the cache by `options`, in a root of its own below `folder`."""

    def __init__(self, folder: Path, source: str, **options: object) -> None:
        self.folder = folder
        for part in ("lists/partial", "archives/partial", "root/var/lib/dpkg"):
            (folder / part).mkdir(parents=True)
        (folder / "sources.list").write_text(f"{source}\n")
        (folder / "status").write_text("")
        own = {
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": folder,
            "Dir::State::lists": f"{folder}/lists/",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder,
            "Dir::Cache::archives": f"{folder}/archives/",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "root",
            "APT::Get::AllowUnauthenticated": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "0",
            "Acquire::http::Timeout": "20",
            **{name.replace("__", "::"): value for name, value in options.items()},
        }
        # It is read before the folder of the machine's own configuration, which is then another one.
        lines = (f'{name} "{value}";\n' for name, value in own.items())
        (folder / "apt.conf").write_text("".join(lines))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs it, and gives how it ended."""
        environment = clean_environment({"LC_ALL": "C", "APT_CONFIG": str(self.folder / "apt.conf")})
        command = ["apt-get", "-q", "-y", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=100
        )

    def update(self) -> str:
        """Updates its lists; gives what it said. AssertionError where anything failed."""
        done = self.run("update", "-oAPT::Update::Error-Mode=any")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def described(self) -> str:
        """The generation that its lists are of, as the description of the package tells."""
        (found,) = [*self.folder.glob("lists/*Packages*")]
        return found.read_text().rpartition("of generation ")[2].strip()

    def download(self) -> bytes:
        """Downloads the package for an installation, after its lists have come."""
        done = self.run("install", "--download-only", "tiny")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        (found,) = self.folder.glob("archives/tiny*.deb")
        return found.read_bytes()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
