"""A mirror of Go modules, with go itself."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archives import zipped
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from harness import Proxy
from language_clients import module_sum, put_validated, ran, require, words, write
from origin import Origin

MakeProxy = Callable[..., Proxy]
NAME = "example.test/Tiny"
ESCAPED = "example.test/%21tiny"
"""The name as go sends it: capital letters are written !x, and the mark is encoded."""
ZIP = f"/up/{ESCAPED}/@v/v1.0.0.zip"


@pytest.fixture
def cache(make_proxy: MakeProxy, origin: Origin) -> Proxy:
    put_module(origin, "v1.0.0")
    return make_proxy(config={"mirrors": {"go": {"ecosystem": "go", "upstream": origin.url("/up/")}}})


def module(version: str, text: str = "package tiny\n") -> bytes:
    return zipped({f"{NAME}@{version}/go.mod": f"module {NAME}\n", f"{NAME}@{version}/tiny.go": text})


def put_module(origin: Origin, version: str) -> None:
    info = json.dumps({"Version": version, "Time": "2024-01-01T00:00:00Z"}).encode()
    parts = {"info": info, "mod": f"module {NAME}\n".encode(), "zip": module(version)}
    for ending, content in parts.items():
        put_validated(origin, f"/up/{ESCAPED}/@v/{version}.{ending}", content)
    put_validated(origin, f"/up/{ESCAPED}/@v/list", f"{version}\n".encode())
    put_validated(origin, f"/up/{ESCAPED}/@latest", info)


def go(
    folder: Path, proxy: str, *command: str, sums: str = "", **told: str
) -> subprocess.CompletedProcess[str]:
    """Go in a module that needs Tiny."""
    require("go")
    files = {
        "go.mod": f"module example.test/user\n\ngo 1.18\n\nrequire {NAME} v1.0.0\n",
        "main.go": f'package main\n\nimport _ "{NAME}"\n\nfunc main() {{}}\n',
    }
    write(folder, files if not sums else {**files, "go.sum": sums})
    own = {"GOPATH": str(folder / "path"), "GOCACHE": str(folder / "cache"), "GOTOOLCHAIN": "local"}
    flags = {"GOFLAGS": "-modcacherw", "GONOSUMDB": "*", "GOVCS": "*:off", "GOPROXY": proxy}
    return ran(["go", *command], folder, **{**own, **flags, **told})


def test_go_downloads_twice(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    """The second time with the upstream stopped."""
    first = go(tmp_path / "first", f"{cache.url}/go", "mod", "download", "-x", NAME)
    assert first.returncode == 0, words(first)
    assert origin.count(ZIP) == 1
    origin.stop()
    second = go(tmp_path / "second", f"{cache.url}/go", "mod", "download", NAME)
    assert second.returncode == 0, words(second)
    (got,) = (tmp_path / "second").glob("path/pkg/mod/example.test/!tiny@v1.0.0/tiny.go")
    assert got.read_text() == "package tiny\n"
    assert cache.get(origin.url(ZIP)).body == module("v1.0.0")


def test_go_finds_the_newest_version(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    found = go(tmp_path, f"{cache.url}/go", "list", "-mod=mod", "-m", f"{NAME}@latest")
    assert found.stdout == f"{NAME} v1.0.0\n", words(found)
    put_module(origin, "v1.2.0")
    assert cache.get(f"/go/{ESCAPED}/@v/list").body == b"v1.0.0\n"
    assert cache.get(origin.url(f"/up/{ESCAPED}/@v/list"), method="PURGE").status == 200
    found = go(tmp_path, f"{cache.url}/go", "list", "-mod=mod", "-m", f"{NAME}@latest")
    assert found.stdout == f"{NAME} v1.2.0\n", words(found)


def test_go_refuses_another_module(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    """By its own go.sum: module proxies state no digests."""
    first = go(tmp_path / "first", f"{cache.url}/go", "mod", "tidy")
    assert first.returncode == 0, words(first)
    sums = (tmp_path / "first" / "go.sum").read_text()
    put_validated(origin, ZIP, module("v1.0.0", "package other\n"))
    assert cache.get(origin.url(ZIP), method="PURGE").status == 200
    done = go(tmp_path / "second", f"{cache.url}/go", "mod", "download", NAME, sums=sums)
    assert (done.returncode != 0, "checksum mismatch" in done.stderr) == (True, True), words(done)


@pytest.mark.parametrize(
    ("status", "goes_on"), [(404, True), (410, True), (451, False), (403, False), (500, False)]
)
def test_go_asks_its_next_proxy(
    cache: Proxy, origin: Origin, tmp_path: Path, status: int, goes_on: bool
) -> None:
    """As what comes from the cache is the upstream's own status."""
    with Origin() as other:
        for ending, content in (("info", b'{"Version": "v1.1.0"}'), ("mod", f"module {NAME}\n".encode())):
            other.put(f"/{ESCAPED}/@v/v1.1.0.{ending}", content)
            origin.put(f"/up/{ESCAPED}/@v/v1.1.0.{ending}", b"", status=status)
        proxies = f"{cache.url}/go,{other.url().rstrip('/')}"
        found = go(tmp_path, proxies, "list", "-m", f"{NAME}@v1.1.0")
        assert (found.stdout == f"{NAME} v1.1.0\n") is goes_on, words(found)
        assert (other.requests != []) is goes_on


def test_an_upstream_that_is_down_is_not_absent(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    origin.stop()
    with Origin() as other:
        found = go(tmp_path, f"{cache.url}/go,{other.url()}", "list", "-m", f"{NAME}@v1.0.0")
        assert (found.returncode != 0, other.requests) == (True, []), words(found)


def test_paths_are_passed_as_they_are(cache: Proxy, origin: Origin) -> None:
    for path in (
        "example.test/!tiny/@v/v1.0.0-!b%2b.info",
        f"{ESCAPED}/@v/list",
        "a//b/@v/list",
        "a/%7Eb/@latest",
    ):
        cache.get(f"/go/{path}")
        assert origin.requests[-1].target == f"/up/{path}"


def test_451_of_the_first_upstream_is_the_answer(make_proxy: MakeProxy, origin: Origin) -> None:
    """Clients would stop at it, and not take another source."""
    put_module(origin, "v1.0.0")
    with Origin() as first:
        first.put(f"/{ESCAPED}/@latest", b"", status=451)
        first.put(f"/{ESCAPED}/@v/list", b"", status=410)
        upstream = [first.url("/"), origin.url("/up")]
        cache = make_proxy(config={"mirrors": {"go": {"ecosystem": "go", "upstream": upstream}}})
        assert cache.get(f"/go/{ESCAPED}/@latest").status == 451
        assert cache.get(f"/go/{ESCAPED}/@v/list").body == b"v1.0.0\n"


class ChecksumDatabase:
    """A database of the checksums of one module, signed with a key of its own; `key` is as in GOSUMDB."""

    name = "sum.test"

    def __init__(self, origin: Origin, archive: bytes) -> None:
        private = Ed25519PrivateKey.generate()
        public = b"\x01" + private.public_key().public_bytes_raw()
        identity = hashlib.sha256(f"{self.name}\n".encode() + public).digest()[:4]
        self.key = f"{self.name}+{identity.hex()}+{base64.b64encode(public).decode()}"
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            files = {name: opened.read(name) for name in opened.namelist()}
        sums = {"": module_sum(files), "/go.mod": module_sum({"go.mod": f"module {NAME}\n".encode()})}
        record = "".join(f"{NAME} v1.0.0{part} {found}\n" for part, found in sums.items())
        root = hashlib.sha256(b"\0" + record.encode()).digest()
        tree = f"go.sum database tree\n1\n{base64.b64encode(root).decode()}\n"
        signature = base64.b64encode(identity + private.sign(tree.encode())).decode()
        signed = f"{tree}\n\u2014 {self.name} {signature}\n"
        origin.put(f"/sums/lookup/{ESCAPED}@v1.0.0", f"0\n{record}\n{signed}".encode())
        origin.put("/sums/tile/8/0/000.p/1", root)
        origin.put("/sums/latest", signed.encode())


@pytest.mark.parametrize("is_poisoned", [False, True])
def test_go_asks_its_checksum_database_by_the_mirror(
    make_proxy: MakeProxy, origin: Origin, tmp_path: Path, is_poisoned: bool
) -> None:
    """Whose name leads nowhere; the second time everything is stopped."""
    put_module(origin, "v1.0.0")
    with Origin() as other:
        database = ChecksumDatabase(
            other, module("v1.0.0", "package other\n" if is_poisoned else "package tiny\n")
        )
        sumdb = {database.name: other.url("/sums")}
        mirror = {"ecosystem": "go", "upstream": origin.url("/up/"), "sumdb": sumdb}
        cache = make_proxy(config={"mirrors": {"go": mirror}})
        told = {"GONOSUMDB": "", "GOSUMDB": database.key}
        first = go(tmp_path / "first", f"{cache.url}/go", "mod", "download", NAME, **told)
        assert (first.returncode != 0) is is_poisoned, words(first)
        assert ("SECURITY ERROR" in first.stderr) is is_poisoned, words(first)
        assert [one.path.removeprefix("/sums/").partition("/")[0] for one in other.requests] == [
            "lookup",
            "tile",
        ]
    origin.stop()
    if not is_poisoned:
        second = go(tmp_path / "second", f"{cache.url}/go", "mod", "download", NAME, **told)
        assert second.returncode == 0, words(second)


def test_other_databases_are_asked_by_clients_themselves(make_proxy: MakeProxy, origin: Origin) -> None:
    for path in ("sumdb/other.test/supported", "sumdb/sum.test/supported", "sumdb/sum.test/latest"):
        origin.put(f"/up/{path}", b"of the upstream")
    sumdb = {"sum.test": origin.url("/sums/")}
    mirrors = {
        "go": {"ecosystem": "go", "upstream": origin.url("/up/"), "sumdb": sumdb},
        "none": {"ecosystem": "go", "upstream": origin.url("/up/")},
    }
    cache = make_proxy(config={"mirrors": mirrors})
    supported = cache.get("/go/sumdb/sum.test/supported")
    assert (supported.status, supported.body, supported.complete) == (200, b"", True)
    for path in (
        "/go/sumdb/other.test/supported",
        "/go/sumdb/other.test/latest",
        "/none/sumdb/sum.test/supported",
    ):
        assert cache.get(path).status == 404
    assert cache.get("/go/sumdb/sum.test/../../up/@latest").status == 400
    assert origin.requests == []
