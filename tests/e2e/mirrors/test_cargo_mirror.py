"""A mirror of Rust crates, with cargo itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archives import tarred
from harness import Proxy
from language_clients import put_validated, ran, require, sha256, words, write
from origin import Asked, Origin, Resource

MakeProxy = Callable[..., Proxy]
_RUST = os.environ.get("RUSTUP_HOME") or str(Path("~/.rustup").expanduser())
_OLDEST = (1, 68)
"""The first version that reads sparse indexes without being told to."""


@pytest.fixture(scope="module")
def _cargo(tmp_path_factory: pytest.TempPathFactory) -> None:
    require("cargo")
    told = ran(["cargo", "--version"], tmp_path_factory.mktemp("version"), RUSTUP_HOME=_RUST).stdout
    version = re.search(r"(\d+)\.(\d+)", told)
    if version is None or tuple(map(int, version.groups())) < _OLDEST:
        pytest.skip(f"cargo reads no sparse index: {told.strip()}")


@pytest.fixture
def files() -> Iterator[Origin]:
    """The host of crates, which is not that of the index."""
    with Origin() as running:
        yield running


@pytest.fixture
def crates(origin: Origin, files: Origin) -> dict[str, bytes]:
    """Two crates, of which one needs the other, by their paths on the host of crates."""
    put_validated(origin, "/rs/config.json", config(files))
    return {
        put_crate(origin, files, "tiny", "1.0.0", needs="low"): crate("tiny", "1.0.0", "low"),
        put_crate(origin, files, "low", "0.3.1"): crate("low", "0.3.1"),
    }


@pytest.fixture
def cache(make_proxy: MakeProxy, origin: Origin) -> Proxy:
    return make_proxy(config={"mirrors": {"rs": {"ecosystem": "cargo", "upstream": origin.url("/rs/")}}})


def config(files: Origin, **more: object) -> bytes:
    dl = files.url("/crates/{crate}/{crate}-{version}.crate")
    return json.dumps({"dl": dl, "api": "https://api.test", **more}).encode()


def crate(name: str, version: str, needs: str = "") -> bytes:
    manifest = f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2018"\n'
    source = f"pub const NAME: &str = {json.dumps(name)};\n"
    if needs:
        manifest += f'[dependencies]\n{needs} = "*"\n'
        source += f"pub use {needs}::NAME as NEEDED;\n"
    inside = {"Cargo.toml": manifest, "src/lib.rs": source}
    return tarred({f"{name}-{version}/{path}": text.encode() for path, text in inside.items()})


def put_crate(origin: Origin, files: Origin, name: str, version: str, needs: str = "") -> str:
    body, path = crate(name, version, needs), f"/crates/{name}/{name}-{version}.crate"
    files.put(path, body, etag=f'"{sha256(body)[:16]}"')
    needed = {"name": needs, "req": "*", "features": [], "optional": False, "default_features": True}
    line = {
        "name": name,
        "vers": version,
        "deps": [{**needed, "target": None, "kind": "normal"}] if needs else [],
        "cksum": sha256(body),
        "features": {},
        "yanked": False,
    }
    prefix = f"3/{name[0]}" if len(name) == 3 else f"{name[:2]}/{name[2:4]}"
    put_validated(origin, f"/rs/{prefix}/{name}", json.dumps(line).encode() + b"\n")
    return path


def cargo(folder: Path, cache: Proxy, *command: str) -> subprocess.CompletedProcess[str]:
    """Cargo in a project that needs tiny, with the mirror in the place of its default registry."""
    write(
        folder,
        {
            "Cargo.toml": '[package]\nname = "user"\nversion = "0.1.0"\nedition = "2018"\n'
            '[dependencies]\ntiny = "1"\n',
            "src/main.rs": 'fn main() { println!("{} {}", tiny::NAME, tiny::NEEDED); }\n',
            ".cargo/config.toml": '[source.crates-io]\nreplace-with = "mirror"\n'
            f'[source.mirror]\nregistry = "sparse+{cache.url}/rs/"\n[net]\nretry = 0\n',
        },
    )
    return ran(["cargo", *command], folder, CARGO_HOME=str(folder / "home"), RUSTUP_HOME=_RUST)


def unpacked(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.glob("home/registry/src/*/*"))


@pytest.mark.usefixtures("_cargo")
def test_cargo_fetches_twice(
    cache: Proxy, origin: Origin, files: Origin, crates: dict[str, bytes], tmp_path: Path
) -> None:
    """The second time with the upstream and the host of crates stopped."""
    first = cargo(tmp_path / "first", cache, "fetch")
    assert first.returncode == 0, words(first)
    assert [files.count(path) for path in crates] == [1, 1]
    origin.stop()
    files.stop()
    second = cargo(tmp_path / "second", cache, "fetch")
    assert second.returncode == 0, words(second)
    assert unpacked(tmp_path / "second") == ["low-0.3.1", "tiny-1.0.0"]
    # The same crates by proxy, as they are the same URLs.
    for path, body in crates.items():
        assert cache.get(files.url(path)).body == body


@pytest.mark.usefixtures("_cargo", "crates")
def test_what_it_fetched_can_be_built(cache: Proxy, tmp_path: Path) -> None:
    built = cargo(tmp_path / "built", cache, "run", "-q")
    if "linker" in built.stderr:
        pytest.skip("this machine has no linker")
    assert built.stdout == "tiny low\n", words(built)


@pytest.mark.usefixtures("_cargo")
def test_cargo_refuses_another_crate(
    cache: Proxy, files: Origin, crates: dict[str, bytes], tmp_path: Path
) -> None:
    path = next(iter(crates))
    files.put(path, crate("tiny", "1.0.0"), etag='"poisoned"')
    done = cargo(tmp_path / "poisoned", cache, "fetch")
    assert done.returncode != 0, words(done)
    assert unpacked(tmp_path / "poisoned") in ([], ["low-0.3.1"])


@pytest.mark.usefixtures("crates")
def test_only_the_place_of_crates_is_another(cache: Proxy, files: Origin) -> None:
    dl = f"{cache.url}/rs/~/http/{files.host}:{files.port}/crates/{{crate}}/{{crate}}-{{version}}.crate"
    shown = cache.get("/rs/config.json")
    assert json.loads(shown.body) == {"dl": dl, "api": "https://api.test"}


@pytest.mark.usefixtures("crates")
def test_files_of_the_index_stay_as_they_are(cache: Proxy, origin: Origin) -> None:
    direct = origin.url("/rs/ti/ny/tiny")
    told, by_proxy = cache.get("/rs/ti/ny/tiny"), cache.get(direct)
    assert (told.body, told.get("ETag")) == (by_proxy.body, by_proxy.get("ETag"))
    assert told.get("Content-Length") == str(len(told.body))
    again = cache.get("/rs/ti/ny/tiny", [("If-None-Match", told.get("ETag") or "")])
    assert (again.status, origin.count("/rs/ti/ny/tiny")) == (304, 1)


@pytest.mark.parametrize("status", [404, 410, 451])
def test_what_is_absent_is_asked_for_once(cache: Proxy, origin: Origin, status: int) -> None:
    origin.put("/rs/no/ne/none", b"", status=status)
    for _ in range(3):
        assert cache.get("/rs/no/ne/none").status == status
    assert origin.count("/rs/no/ne/none") == 1


class Locked:
    """Answers those alone who have the token; the others are told to log in."""

    def __init__(self, origin: Origin, path: str, body: bytes) -> None:
        self.body = body
        origin.put(path, handler=self)

    def __call__(self, asked: Asked) -> Resource:
        if asked.get("Authorization") != "s3cret":
            return Resource(b"", status=401, headers=[("WWW-Authenticate", 'Cargo login_url="https://x"')])
        return Resource(self.body, etag=f'"{sha256(self.body)[:16]}"')


@pytest.mark.usefixtures("_cargo")
def test_a_registry_that_wants_a_token(
    make_proxy: MakeProxy, origin: Origin, files: Origin, crates: dict[str, bytes], tmp_path: Path
) -> None:
    """What is behind a token is given to nobody without it; the host of crates gets it, for it is named."""
    mirror = {"ecosystem": "cargo", "upstream": origin.url("/rs/"), "file_hosts": [files.host]}
    cache = make_proxy(config={"mirrors": {"rs": mirror}})
    for path in ("ti/ny/tiny", "3/l/low"):
        Locked(
            origin,
            f"/rs/{path}",
            cache.get(origin.url(f"/rs/{path}"), [("Cache-Control", "no-store")]).body,
        )
    Locked(origin, "/rs/config.json", config(files, **{"auth-required": True}))
    for path, body in crates.items():
        Locked(files, path, body)
    project = {
        "Cargo.toml": '[package]\nname = "user"\nversion = "0.1.0"\nedition = "2018"\n'
        '[dependencies]\ntiny = { version = "1", registry = "own" }\n',
        "src/lib.rs": "",
        ".cargo/config.toml": f'[registries.own]\nindex = "sparse+{cache.url}/rs/"\n'
        'credential-provider = "cargo:token"\n[net]\nretry = 0\n',
    }
    told = {"CARGO_HOME": str(tmp_path / "home"), "RUSTUP_HOME": _RUST}
    write(tmp_path / "a", project)
    done = ran(["cargo", "fetch"], tmp_path / "a", CARGO_REGISTRIES_OWN_TOKEN="s3cret", **told)
    assert done.returncode == 0, words(done)
    for path in ("/rs/config.json", "/rs/ti/ny/tiny", files.url(next(iter(crates)))):
        assert cache.get(path).status == 401
    assert "s3cret" not in cache.log()


WAYS = pytest.mark.parametrize("way", ["mirror", "proxy", "prefix"])


@WAYS
@pytest.mark.parametrize("media_type", ["text/plain", "application/octet-stream"])
def test_another_crate_is_not_stored(
    cache: Proxy, origin: Origin, files: Origin, crates: dict[str, bytes], way: str, media_type: str
) -> None:
    """As the index states its digest, and the registry's config.json where crates are."""

    def address(served: Origin, path: str) -> str:
        url = served.url(path)
        elsewhere = f"/rs/~/http/{files.host}:{files.port}{path}"
        by_mirror = path if served is origin else elsewhere
        return {"mirror": by_mirror, "proxy": url, "prefix": f"/{url}"}[way]

    for path in ("/rs/config.json", "/rs/ti/ny/tiny"):
        content = cache.get(origin.url(path), [("Cache-Control", "no-store")]).body
        put_validated(origin, path, content, media_type)
        assert cache.get(address(origin, path)).status == 200
    path, right = next(iter(crates.items()))
    files.put(path, right[::-1], etag='"poisoned"', cache_control="max-age=600")
    assert cache.get(address(files, path)).status == 502
    files.put(path, right, etag='"right"')
    for _ in range(2):
        assert cache.get(address(files, path)).body == right
    assert f"in {origin.url('/rs/ti/ny/tiny')}" in cache.log()
    assert files.count(path) == 3  # the wrong one twice; the right one never changes
