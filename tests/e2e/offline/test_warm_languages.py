"""`warm`, `export` and `import` for lock files without URLs, with cargo and go themselves."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archives import tarred, zipped
from commands import DONE, PROBLEMS, call
from harness import Proxy
from language_clients import put_validated, ran, require, sha256, words, write
from origin import Origin

MakeProxy = Callable[..., Proxy]
_RUST = os.environ.get("RUSTUP_HOME") or str(Path("~/.rustup").expanduser())
MODULE = "example.test/Tiny"
ESCAPED = "example.test/%21tiny"


@pytest.fixture
def upstream() -> Iterator[Origin]:
    with Origin() as running:
        manifest = '[package]\nname = "tiny"\nversion = "1.0.0"\nedition = "2018"\n'
        crate = tarred({"tiny-1.0.0/Cargo.toml": manifest.encode(), "tiny-1.0.0/src/lib.rs": b""})
        line = {
            "name": "tiny",
            "vers": "1.0.0",
            "deps": [],
            "cksum": sha256(crate),
            "features": {},
            "yanked": False,
        }
        put_validated(running, "/rs/config.json", json.dumps({"dl": running.url("/crates")}).encode())
        put_validated(running, "/rs/ti/ny/tiny", json.dumps(line).encode() + b"\n")
        running.put("/crates/tiny/1.0.0/download", crate, etag='"c"')
        mod = f"module {MODULE}\n"
        archive = zipped({f"{MODULE}@v1.0.0/go.mod": mod, f"{MODULE}@v1.0.0/tiny.go": "package tiny\n"})
        info = b'{"Version": "v1.0.0", "Time": "2024-01-01T00:00:00Z"}'
        parts = {"info": info, "mod": mod.encode(), "zip": archive}
        for ending, content in parts.items():
            put_validated(running, f"/go/{ESCAPED}/@v/v1.0.0.{ending}", content)
        yield running


def mirrors(upstream: Origin) -> dict[str, object]:
    return {
        "mirrors": {
            "rs": {"ecosystem": "cargo", "upstream": upstream.url("/rs/")},
            "go": {"ecosystem": "go", "upstream": upstream.url("/go/")},
        }
    }


def carried(make_proxy: MakeProxy, upstream: Origin, lock: Path, folder: Path) -> Proxy:
    """A cache without a network, which has what another one was warmed with."""
    near = make_proxy(config=mirrors(upstream))
    archive, of_near = folder / "carried.tar", ["--cache-dir", str(near.cache_dir)]
    assert call("export", str(archive), "--lock", str(lock), *of_near).status == PROBLEMS
    warmed = call("warm", str(lock), "--proxy", near.netloc, "-c", str(near.config_file))
    assert (warmed.status, warmed.stderr) == (DONE, "")
    exported = call("export", str(archive), "--lock", str(lock), *of_near)
    assert (exported.status, exported.stderr) == (DONE, "")
    far = make_proxy(config=mirrors(upstream), arguments=["--offline"])
    assert call("import", str(archive), "--cache-dir", str(far.cache_dir)).status == DONE
    upstream.stop()
    return far


def cargo(folder: Path, cache: Proxy, lock: str = "") -> subprocess.CompletedProcess[str]:
    manifest = '[package]\nname = "user"\nversion = "0.1.0"\nedition = "2018"\n[dependencies]\ntiny = "1"\n'
    replaced = f'replace-with = "mirror"\n[source.mirror]\nregistry = "sparse+{cache.url}/rs/"\n'
    files = {
        "Cargo.toml": manifest,
        "src/lib.rs": "",
        ".cargo/config.toml": f"[source.crates-io]\n{replaced}[net]\nretry = 0\n",
    }
    write(folder, {**files, "Cargo.lock": lock} if lock else files)
    options = ["--locked"] if lock else []
    return ran(["cargo", "fetch", *options], folder, CARGO_HOME=str(folder / "home"), RUSTUP_HOME=_RUST)


def test_cargo_lock(make_proxy: MakeProxy, upstream: Origin, tmp_path: Path) -> None:
    require("cargo")
    first = cargo(tmp_path / "first", make_proxy(config=mirrors(upstream)))
    if first.returncode != 0:
        pytest.skip(f"this cargo takes no sparse index: {first.stderr[-300:]}")
    lock = tmp_path / "first" / "Cargo.lock"
    far = carried(make_proxy, upstream, lock, tmp_path)
    done = cargo(tmp_path / "far", far, lock.read_text())
    assert done.returncode == 0, words(done)
    assert list((tmp_path / "far").glob("home/registry/src/*/tiny-1.0.0"))


def go(folder: Path, cache: Proxy, *command: str, sums: str = "") -> subprocess.CompletedProcess[str]:
    files = {
        "go.mod": f"module example.test/user\n\ngo 1.18\n\nrequire {MODULE} v1.0.0\n",
        "main.go": f'package main\n\nimport _ "{MODULE}"\n\nfunc main() {{}}\n',
    }
    write(folder, {**files, "go.sum": sums} if sums else files)
    own = {"GOPATH": str(folder / "path"), "GOCACHE": str(folder / "cache"), "GOTOOLCHAIN": "local"}
    told = {"GOFLAGS": "-modcacherw", "GONOSUMDB": "*", "GOVCS": "*:off", "GOPROXY": f"{cache.url}/go"}
    return ran(["go", *command], folder, **own, **told)


def test_go_sum(make_proxy: MakeProxy, upstream: Origin, tmp_path: Path) -> None:
    require("go")
    first = go(tmp_path / "first", make_proxy(config=mirrors(upstream)), "mod", "tidy")
    assert first.returncode == 0, words(first)
    sums = tmp_path / "first" / "go.sum"
    far = carried(make_proxy, upstream, sums, tmp_path)
    done = go(tmp_path / "far", far, "mod", "download", sums=sums.read_text())
    assert done.returncode == 0, words(done)
    assert list((tmp_path / "far").glob("path/pkg/mod/example.test/!tiny@v1.0.0/tiny.go"))
