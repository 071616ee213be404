"""Real clients, each twice: the second time nothing immutable is asked of the origin."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from archives import tarred, zipped
from harness import Proxy, clean_environment
from origin import Generated, Origin

MakeProxy = Callable[..., Proxy]

BODY = Generated(3_000_000, seed=60)
FRESH = {"etag": '"v1"', "last_modified": 1_700_000_000, "cache_control": "max-age=3600"}

PACKAGES = {"match": {"path": r"/by-hash/|/pool/.*\.deb$"}, "fresh": "365d"}


def run(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=clean_environment(environment), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def needs(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed")
    return found


def command_lines(proxy: Proxy, url: str) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Each client's way to write the resource to `out`: command and environment."""
    kisscache = f"{proxy.url}/api/v1/fetch/out?url={url}&ttl=1h"
    return {
        "curl": (["curl", "-fsS", "-x", proxy.url, "-o", "out", url], {}),
        "curl-compressed": (["curl", "-fsS", "--compressed", "-x", proxy.url, "-o", "out", url], {}),
        "curl-resume": (["curl", "-fsS", "-C", "-", "-x", proxy.url, "-o", "out", url], {}),
        "wget": (["wget", "-q", "-O", "out", url], {"http_proxy": proxy.url}),
        "prefix": (["curl", "-fsS", "-o", "out", f"{proxy.url}/{url}"], {}),
        "kisscache": (["curl", "-fsSOJ", kisscache], {}),
    }


@pytest.mark.parametrize(
    "client", ["curl", "curl-compressed", "curl-resume", "wget", "prefix", "kisscache"]
)
def test_a_client_twice(origin: Origin, make_proxy: MakeProxy, tmp_path: Path, client: str) -> None:
    needs("wget" if client == "wget" else "curl")
    origin.put("/file", BODY, **FRESH)
    proxy = make_proxy(workers=2)
    command, environment = command_lines(proxy, origin.url("/file"))[client]
    for time in ("first", "second"):
        folder = tmp_path / time
        folder.mkdir()
        if client == "curl-resume":
            (folder / "out").write_bytes(BODY.slice(0, 1_000_000))
        run(command, folder, **environment)
        assert hashlib.sha256((folder / "out").read_bytes()).hexdigest() == BODY.sha256()
    assert origin.count("/file") == 1


def wheel(folder: Path) -> Path:
    """The smallest package that pip takes."""
    path = folder / "tiny-1.0-py3-none-any.whl"
    files = {
        "tiny.py": "",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny-1.0.dist-info/RECORD": "",
    }
    path.write_bytes(zipped(files))
    return path


def test_pip_by_prefix_twice(origin: Origin, proxy: Proxy, tmp_path: Path) -> None:
    package = wheel(tmp_path)
    page = f'<html><body><a href="../../files/{package.name}">{package.name}</a></body></html>'
    html = [("Content-Type", "text/html")]
    origin.put("/simple/tiny/", page.encode(), headers=html, etag='"1"', cache_control="max-age=60")
    origin.put(f"/files/{package.name}", package.read_bytes(), **FRESH)
    for time in ("first", "second"):
        pip = [sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check"]
        index = f"{proxy.url}/{origin.url('/simple')}"
        run([*pip, "download", "-q", "--no-deps", "-d", time, "--index-url", index, "tiny"], tmp_path)
        assert (tmp_path / time / package.name).read_bytes() == package.read_bytes()
    asked = origin.asked(f"/files/{package.name}")
    # pip asks to have it validated, and is answered from here.
    assert [one.get("If-None-Match") for one in asked] in ([None], [None, '"v1"'])


def test_npm_by_prefix_twice(origin: Origin, proxy: Proxy, tmp_path: Path) -> None:
    """npm asks for archives by prefix too, where it is told to replace the host that the metadata names."""
    npm = needs("npm")
    archive = tmp_path / "tiny.tgz"
    text = b'{"name": "tiny", "version": "1.0.0"}'
    archive.write_bytes(tarred({"package/package.json": text}))
    path = "/tiny/-/tiny-1.0.0.tgz"
    version = {"name": "tiny", "version": "1.0.0", "dist": {"tarball": origin.url(path)}}
    document = {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    origin.put("/tiny", json.dumps(document).encode(), cache_control="max-age=300", etag='"1"')
    origin.put(path, archive.read_bytes(), **FRESH)
    options = ["--no-audit", "--no-fund", "--no-update-notifier", "--replace-registry-host=always"]
    for time in ("first", "second"):
        folder = tmp_path / time
        folder.mkdir()
        (folder / "package.json").write_text('{"name": "user", "version": "1.0.0"}')
        where = ["--registry", f"{proxy.url}/{origin.url('/')}", "--cache", str(folder / "npm")]
        run([npm, "install", *options, *where, "tiny"], folder, HOME=str(tmp_path))
        assert (folder / "node_modules" / "tiny" / "package.json").read_bytes() == text
    assert (origin.count("/tiny"), origin.count(path)) == (1, 1)


class Apt:
    """apt-get with the http sources of this machine, in a root of its own."""

    def __init__(self, folder: Path, proxy: Proxy, userinfo: str = "") -> None:
        needs("apt-get")
        self.folder = folder
        self._userinfo = userinfo
        for part in ("lists/partial", "archives/partial", "sources.list.d"):
            (folder / part).mkdir(parents=True)
        self._copy_sources()
        options = {
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": folder / "sources.list.d",
            "Dir::State::lists": f"{folder}/lists/",
            "Dir::Cache": folder,
            "Dir::Cache::archives": f"{folder}/archives/",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "APT::Sandbox::User": "root",
            "Acquire::Retries": "0",
            "Acquire::Languages": "none",
            "Acquire::http::Timeout": "20",
            "Acquire::http::Proxy": proxy.url,
        }
        self.command = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]

    def _copy_sources(self) -> None:
        for number, text in enumerate(self._http_sources()):
            suffix, entry = text
            entry = entry.replace("http://", f"http://{self._userinfo}")
            (self.folder / "sources.list.d" / f"{number}{suffix}").write_text(entry)

    def _http_sources(self) -> Iterable[tuple[str, str]]:
        """Suffix and text of each configured source that is reached by http."""
        found = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(SOURCESENTRY) $(SITE)", "Created-By: Packages"],
            capture_output=True,
            text=True,
        )
        entries = {line.split()[0] for line in found.stdout.splitlines() if " http://" in line}
        if not entries:
            pytest.skip("no package source of this machine is reached by http")
        for entry in sorted(entries):
            name, _, number = entry.rpartition(":")
            path = Path(name)
            if path.suffix == ".sources":
                stanzas = [text for text in re.split(r"\n\s*\n", path.read_text()) if "Types:" in text]
                yield path.suffix, stanzas[int(number) - 1]
            else:
                yield path.suffix, path.read_text().splitlines()[int(number) - 1] + "\n"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=clean_environment({"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}),
            capture_output=True,
            text=True,
            timeout=200,
        )

    def forget(self) -> None:
        """As on another machine: no lists, no packages."""
        shutil.rmtree(self.folder / "lists")
        (self.folder / "lists" / "partial").mkdir(parents=True)
        for package in self.folder.glob("*.deb"):
            package.unlink()


@pytest.mark.registry
@pytest.mark.timeout(500)
def test_apt_twice(make_proxy: MakeProxy, tmp_path: Path) -> None:
    access = tmp_path / "access.log"
    log = {"access": str(access), "format": "json"}
    proxy = make_proxy(workers=2, config={"rules": [PACKAGES], "log": log})
    apt = Apt(tmp_path / "apt", proxy)
    digests = []
    for time in ("first", "second"):
        updated = apt.run("update")
        if time == "first" and updated.returncode:
            pytest.skip(
                f"the package sources of this machine do not answer: {updated.stderr.strip()[-300:]}"
            )
        assert updated.returncode == 0, updated.stderr
        assert "Err:" not in updated.stdout
        downloaded = apt.run("download", "hello")
        assert downloaded.returncode == 0, downloaded.stderr
        (package,) = apt.folder.glob("hello*.deb")
        digests.append(hashlib.sha256(package.read_bytes()).hexdigest())
        if time == "first":
            again = datetime.now(UTC).replace(tzinfo=None).isoformat()
            apt.forget()
    assert digests[0] == digests[1]
    proxy.terminate()
    lines = [json.loads(line) for line in access.read_text().splitlines()]
    immutable = [line for line in lines if re.search(PACKAGES["match"]["path"], line["url"])]
    second = [line for line in immutable if line["time"] > again]
    assert any(".deb" in line["url"] for line in second)
    assert [line for line in second if line["result"] != "hit"] == []


@pytest.mark.registry
@pytest.mark.timeout(500)
def test_apt_with_user_and_password(make_proxy: MakeProxy, tmp_path: Path) -> None:
    access = tmp_path / "access.log"
    proxy = make_proxy(config={"log": {"access": str(access), "format": "json", "query": True}})
    apt = Apt(tmp_path / "apt", proxy, "user:s3cret@")
    updated = apt.run("update")
    if updated.returncode:
        pytest.skip(f"the package sources of this machine do not answer: {updated.stderr.strip()[-300:]}")
    assert "Err:" not in updated.stdout
    proxy.terminate()
    assert "InRelease" in access.read_text()
    assert "s3cret" not in access.read_text() + proxy.log()
