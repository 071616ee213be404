"""What the origin has for each client: files, packages, repositories, made by their own tools at need."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from archives import tarred, zipped
from origin import Asked, Generated, Origin, Resource

FILE = Generated(1_000_000, seed=81)
SOURCE = b"answer = 42\n"
"""What each package has inside, whatever its kind."""

LASTING = {"cache_control": "public, max-age=3600", "last_modified": 1_700_000_000}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(origin: Origin, path: str, content: bytes, **options: object) -> None:
    """As a registry serves it that has thought of caches: for an hour, and with validators."""
    origin.put(path, content, etag=f'"{sha256(content)[:16]}"', **{**LASTING, **options})  # type: ignore[arg-type]


def stock(origin: Origin, base: str, folder: Path) -> None:
    """All of it; `base` is the origin's URL, `folder` takes what is made."""
    origin.put("/file", FILE, etag='"file"', **LASTING)  # type: ignore[arg-type]
    put(origin, "/page", _PAGE.encode(), headers=[("Content-Type", "text/html")])
    put_wheels(origin)
    put_npm(origin, base)
    put_debs(origin, folder)
    _git(origin, folder)
    put_crates(origin, base)
    put_modules(origin)


_PAGE = """<!DOCTYPE html><title>page</title><p id="digest">none</p><script>
const hash = body => crypto.subtle.digest('SHA-256', body);
fetch('/file').then(answer => answer.arrayBuffer()).then(hash).then(digest => {
  const bytes = Array.from(new Uint8Array(digest), one => one.toString(16).padStart(2, '0'));
  document.getElementById('digest').textContent = bytes.join('');
});
</script>
"""


def put_wheels(origin: Origin) -> None:
    """A simple index (PEP 503) with one wheel."""
    name = "tiny-1.0-py3-none-any.whl"
    files = {
        "tiny.py": SOURCE.decode(),
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text)}")
    record = "tiny-1.0.dist-info/RECORD"
    wheel = zipped({**files, record: "\n".join([*lines, f"{record},,", ""])})
    page = f'<!DOCTYPE html><a href="../../wheels/{name}#sha256={sha256(wheel)}">{name}</a>'
    put(origin, "/simple/tiny/", page.encode(), headers=[("Content-Type", "text/html")])
    put(origin, f"/wheels/{name}", wheel, headers=[("Content-Type", "application/octet-stream")])


def put_npm(origin: Origin, base: str) -> None:
    """A registry of npm's kind with one package."""
    manifest = {"name": "tiny", "version": "1.0.0", "main": "tiny.js"}
    archive = tarred({"package/package.json": json.dumps(manifest).encode(), "package/tiny.js": SOURCE})
    integrity = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    path = "/tiny/-/tiny-1.0.0.tgz"
    dist = {
        "tarball": f"{base}{path}",
        "integrity": f"sha512-{integrity}",
        "shasum": hashlib.sha1(archive).hexdigest(),
    }
    version = {**manifest, "dist": dist}
    document = {
        "name": "tiny",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": version},
        "time": {"created": "2024-01-01T00:00:00.000Z", "1.0.0": "2024-01-01T00:00:00.000Z"},
    }
    put(origin, "/tiny", json.dumps(document).encode(), headers=[("Content-Type", "application/json")])
    put(origin, path, archive, headers=[("Content-Type", "application/octet-stream")])


def put_debs(origin: Origin, folder: Path) -> None:
    """A repository of Debian's kind, flat and signed, with one package; none without dpkg-deb and gpg."""
    root = folder / "deb"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "opt").mkdir()
    (root / "opt" / "tiny").write_bytes(SOURCE)
    control = "Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: tests <tests@cache.invalid>\n"
    (root / "DEBIAN" / "control").write_text(f"{control}Description: tiny\n")
    try:
        command = ["dpkg-deb", "--root-owner-group", "--build", str(root), str(folder / "tiny.deb")]
        subprocess.run(command, check=True, capture_output=True)
        _gpg(folder, "--quick-gen-key", "tests@cache.invalid")
    except FileNotFoundError:
        return
    (folder / "apt.gpg").write_bytes(_gpg(folder, "--export"))
    package = (folder / "tiny.deb").read_bytes()
    size = f"Size: {len(package)}\nSHA256: {sha256(package)}\n"
    stanza = f"{control}Filename: ./tiny.deb\n{size}Description: tiny\n"
    packed = gzip.compress(stanza.encode(), mtime=0)
    files = {"Packages": stanza.encode(), "Packages.gz": packed}
    lines = [f" {sha256(content)} {len(content)} {name}" for name, content in files.items()]
    date = "Sat, 01 Jan 2022 00:00:00 UTC"
    release = "\n".join([f"Origin: tests\nSuite: tiny\nDate: {date}\nSHA256:", *lines, ""])
    signed = _gpg(folder, "--clearsign", content=release.encode())
    for name, content in {**files, "InRelease": signed, "tiny.deb": package}.items():
        put(origin, f"/debian/./{name}", content)  # as apt writes the paths of a flat repository


def _gpg(folder: Path, *arguments: str, content: bytes = b"") -> bytes:
    home = folder / "gnupg"
    home.mkdir(mode=0o700, exist_ok=True)
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", *arguments]
    return subprocess.run(command, input=content, check=True, capture_output=True).stdout


WHO = dict.fromkeys(
    ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"),
    "tests@cache.invalid",
)


def _git(origin: Origin, folder: Path) -> None:
    """A repository by git's own server program (smart HTTP), and the same as plain files (dumb HTTP)."""
    made = folder / "made"
    made.mkdir()
    (made / "tiny").write_bytes(SOURCE)

    def git(*command: str) -> bytes:
        alone = {"PATH": os.environ["PATH"], "HOME": str(folder), **WHO}
        return subprocess.run(
            ["git", *command], cwd=made, env=alone, check=True, capture_output=True
        ).stdout

    try:
        git("init", "-q", "-b", "main")
    except FileNotFoundError:
        return
    git("add", "tiny")
    git("commit", "-q", "-m", "First")
    git("gc", "-q")
    git("update-server-info")
    bare = made / ".git"
    for path in bare.rglob("*"):
        if path.is_file():
            put(origin, f"/dumb.git/{path.relative_to(bare)}", path.read_bytes())
    put(origin, "/dumb.git/info/refs?service=git-upload-pack", (bare / "info" / "refs").read_bytes())
    backend = Path(git("--exec-path").decode().strip()) / "git-http-backend"
    for path in ("info/refs", "git-upload-pack"):
        origin.put(f"/smart.git/{path}", handler=_by_cgi(backend, bare))


def _by_cgi(program: Path, repository: Path) -> Callable[[Asked], Resource]:
    def answer(asked: Asked) -> Resource:
        path, _, query = asked.local_target.partition("?")
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(repository),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": asked.method,
            "PATH_INFO": path.removeprefix("/smart.git"),
            "QUERY_STRING": query,
            "CONTENT_TYPE": asked.get("Content-Type") or "",
            "CONTENT_LENGTH": str(len(asked.body)),
            "HTTP_CONTENT_ENCODING": asked.get("Content-Encoding") or "",
            "GIT_PROTOCOL": asked.get("Git-Protocol") or "",
        }
        said = subprocess.run([program], env=variables, input=asked.body, capture_output=True).stdout
        head, _, body = said.partition(b"\r\n\r\n")
        fields = [tuple(line.split(": ", 1)) for line in head.decode("latin-1").split("\r\n")]
        status = next((int(value[:3]) for name, value in fields if name == "Status"), 200)
        kept = [(name, value) for name, value in fields if name != "Status"]
        return Resource(body, status=status, headers=kept)  # type: ignore[arg-type]

    return answer


def put_crates(origin: Origin, base: str) -> None:
    """A sparse registry of cargo's with one crate."""
    manifest = b'[package]\nname = "tiny"\nversion = "1.0.0"\nedition = "2021"\n'
    crate = tarred({"tiny-1.0.0/Cargo.toml": manifest, "tiny-1.0.0/src/lib.rs": b"// " + SOURCE})
    place = {"dl": f"{base}/crates/{{crate}}/{{version}}/download"}
    entry = {
        "name": "tiny",
        "vers": "1.0.0",
        "deps": [],
        "cksum": sha256(crate),
        "features": {},
        "yanked": False,
    }
    put(origin, "/index/config.json", json.dumps(place).encode())
    put(origin, "/index/ti/ny/tiny", json.dumps(entry).encode() + b"\n")
    put(origin, "/crates/tiny/1.0.0/download", crate, headers=[("Content-Type", "application/gzip")])


GO_MOD = b"module example.test/tiny\n"
MODULE = {"example.test/tiny@v1.0.0/go.mod": GO_MOD, "example.test/tiny@v1.0.0/tiny.txt": SOURCE}
"""The files of the module, by their paths in its archive."""


def put_modules(origin: Origin) -> None:
    """A module proxy of Go's with one module."""
    info = json.dumps({"Version": "v1.0.0", "Time": "2024-01-01T00:00:00Z"})
    for ending, content in (("info", info.encode()), ("mod", GO_MOD), ("zip", zipped(MODULE))):
        put(origin, f"/go/example.test/tiny/@v/v1.0.0.{ending}", content)
    put(origin, "/go/example.test/tiny/@v/list", b"v1.0.0\n")
