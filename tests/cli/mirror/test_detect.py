"""`mirror detect` on a system in a folder: its files in their places, and what is wrong with some."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyproxycache.cli import main
from pyproxycache.configuration.loading import parse


def write(root: Path, path: str, content: str | bytes) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def detect(root: Path, *options: str) -> Result:
    result = CliRunner().invoke(main, ["mirror", "detect", "--root", str(root), *options])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "etc/pip.conf", "[global]\nindex-url = https://old.test/simple\n")
    user = "[global]\nindex-url = https://u:s3cret@py.test/root/simple\n"
    write(tmp_path, "root/.config/pip/pip.conf", user)
    write(tmp_path, "root/.config/uv/uv.toml", 'index-url = "https://py.test/root/simple/"')
    write(tmp_path, "root/.npmrc", "registry=https://js.test/\n//js.test/:_authToken=s3cret\n")
    write(tmp_path, "etc/apt/sources.list.d/a.list", "deb http://deb.test/debian x main\n")
    write(tmp_path, "etc/apt/sources.list.d/b.sources", "Types: deb\nURIs: http://deb.test/security\n")
    write(tmp_path, "etc/containerd/certs.d/img.test/hosts.toml", 'server = "https://img.test"\n')
    write(tmp_path, "usr/bin/go", "#!/bin/sh\nexit 1\n").chmod(0o755)
    return tmp_path


def test_the_block_is_a_configuration(root: Path) -> None:
    result = detect(root)
    mirrors = parse(result.stdout, "printed").mirrors
    assert {name: [str(url) for url in one.urls] for name, one in mirrors.items()} == {
        "pypi": ["https://py.test/root/"],
        "npm": ["https://js.test/"],
        "debian": ["http://deb.test/debian/"],
        "security": ["http://deb.test/security/"],
        "oci": ["https://img.test/"],
    }
    assert (mirrors["pypi"].ecosystem, mirrors["npm"].ecosystem) == ("pypi", "npm")
    assert "s3cret" not in result.output
    assert f"# uv ({root}/root/.config/uv/uv.toml: index-url)" in result.stdout
    assert "the credentials for https://py.test are left out" in result.stderr
    assert "# go: its default; name the upstream\n" in result.stdout
    assert "# cargo:" not in result.stdout  # it is not installed there


def test_json(root: Path) -> None:
    found = json.loads(detect(root, "--json").stdout)
    assert found["mirrors"]["pypi"] == {"ecosystem": "pypi", "upstream": "https://py.test/root/"}
    assert found["defaults"] == ["go"]
    assert len(found["told_by"]["pypi"]) == 2


def test_who_uses_the_cache_already_is_left_out(root: Path) -> None:
    write(root, "root/.npmrc", "registry=http://localhost:3128/npm/\n")
    result = detect(root)
    assert "npm" not in parse(result.stdout, "printed").mirrors
    assert "npmrc: registry): uses this cache already" in result.stderr


def test_nothing_is_there(tmp_path: Path) -> None:
    result = detect(tmp_path)
    assert (result.stdout, "names a repository to mirror" in result.stderr) == ("", True)


def test_bad_files_are_left_out_with_a_line(root: Path) -> None:
    write(root, "etc/xdg/pip/pip.conf", b"\xff\xfe\x00binary")
    write(root, "etc/pip.conf", "[global]\n" + "x" * 200_000)
    write(root, "etc/npmrc", "registry=x\0")
    os.mkfifo(root / "etc/yarnrc")
    circle = root / "root/.yarnrc"
    circle.symlink_to(circle)
    (root / "root/.gemrc").mkdir()
    write(root, "root/.condarc", "a: &a [x]\nchannels: *a\n")
    write(root, "root/.m2/settings.xml", "<settings>")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(root / "etc")  # as such a path may not be long
        listening.bind("gemrc")
        os.chdir(here)
        result = detect(root)
    assert "pypi" in parse(result.stdout, "printed").mirrors
    lines = dict(
        line.removeprefix(f"pyproxycache: {root}/").split(" is left out: ", 1)
        for line in result.stderr.splitlines()
        if "credentials" not in line
    )
    assert {path: lines[path][:20] for path in lines} == {
        "etc/xdg/pip/pip.conf": "it is not UTF-8 text",
        "etc/pip.conf": "it is longer than 12",
        "etc/npmrc": "it is not text",
        "etc/yarnrc": "it is no file",
        "root/.yarnrc": "Too many levels of s",
        "root/.gemrc": "it is no file",
        "etc/gemrc": "No such device or ad",
        "root/.condarc": "it is not YAML: it h",
        "root/.m2/settings.xml": "it is not XML: no el",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(root: Path) -> None:
    (root / "root/.npmrc").chmod(0)
    result = detect(root)
    assert "root/.npmrc is left out: Permission denied" in result.stderr
    assert "npm" not in parse(result.stdout, "printed").mirrors
