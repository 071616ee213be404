"""A mirror of Ruby gems, with gem and bundle themselves."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Proxy
from language_clients import put_validated, ran, require, words, write
from origin import Origin
from ruby_gems import built, put_gems, put_index

MakeProxy = Callable[..., Proxy]


@pytest.fixture
def cache(make_proxy: MakeProxy, origin: Origin) -> Proxy:
    return make_proxy(config={"mirrors": {"rb": {"ecosystem": "rubygems", "upstream": origin.url("/up/")}}})


@pytest.fixture
def gems(origin: Origin, tmp_path: Path) -> dict[str, bytes]:
    require("gem")
    return put_gems(origin, "/up/", tmp_path)


def gem(folder: Path, cache: Proxy) -> subprocess.CompletedProcess[str]:
    options = ["--no-document", "--clear-sources", "--install-dir", str(folder / "got")]
    return ran(["gem", "install", *options, "--source", f"{cache.url}/rb/", "tiny"], folder)


def bundle(folder: Path, cache: Proxy) -> subprocess.CompletedProcess[str]:
    """Bundler, whose mirror stands in for the source that the project names."""
    require("bundle")
    write(folder, {"Gemfile": 'source "https://gems.test"\ngem "tiny"\n'})
    mirror = {"BUNDLE_MIRROR__HTTPS://GEMS__TEST/": f"{cache.url}/rb/", "BUNDLE_RETRY": "0"}
    own = {"BUNDLE_PATH": str(folder / "got"), "BUNDLE_USER_HOME": str(folder / "bundler")}
    return ran(["bundle", "install"], folder, **mirror, **own, BUNDLE_SILENCE_ROOT_WARNING="1")


@pytest.mark.parametrize("client", [gem, bundle])
def test_gems_are_installed_twice(
    cache: Proxy,
    origin: Origin,
    gems: dict[str, bytes],
    tmp_path: Path,
    client: Callable[[Path, Proxy], subprocess.CompletedProcess[str]],
) -> None:
    """The second time with the upstream stopped."""
    first = client(tmp_path / "first", cache)
    assert first.returncode == 0, words(first)
    assert [origin.count(path) for path in gems] == [1, 1]
    origin.stop()
    second = client(tmp_path / "second", cache)
    assert second.returncode == 0, words(second)
    assert len(list((tmp_path / "second").glob("got/**/gems/*/lib/*.rb"))) == 2
    for path, body in gems.items():
        assert cache.get(origin.url(path)).body == body


@pytest.mark.usefixtures("gems")
def test_the_rest_of_an_index_is_asked_for(cache: Proxy, origin: Origin) -> None:
    """As clients do that have its beginning; the digest of the whole comes with it."""
    old = cache.get("/rb/versions")
    length, tag = len(old.body), old.get("ETag") or ""
    overlapping = [("Range", f"bytes={length - 1}-"), ("If-None-Match", tag)]
    assert cache.get("/rb/versions", overlapping).status == 304
    put_index(origin, "/up/versions", old.body + b"new 1.0 0\n")
    assert cache.get(origin.url("/up/versions"), method="PURGE").status == 200
    rest = cache.get("/rb/versions", overlapping)
    assert (rest.status, rest.body) == (206, b"\nnew 1.0 0\n")
    whole = base64.b64encode(hashlib.sha256(old.body + b"new 1.0 0\n").digest()).decode()
    assert rest.get("Repr-Digest") == f"sha-256=:{whole}:"
    assert cache.get("/rb/versions").body == old.body + b"new 1.0 0\n"
    assert cache.get("/rb/versions", [("Range", "bytes=900000-")]).status == 416


def test_the_answer_to_a_head_is_stored(cache: Proxy, origin: Origin) -> None:
    """As gem asks so which kind of index there is, and takes an older one if that fails."""
    put_index(origin, "/up/versions", b"---\n")
    put_index(origin, "/up/", b"x" * 100_000)
    for path, length in (("versions", "4"), ("", "100000")):
        for _ in range(2):
            reply = cache.get(f"/rb/{path}", method="HEAD")
            assert (reply.status, reply.get("Content-Length"), reply.body) == (200, length, b"")
    assert [asked.method for asked in origin.requests] == ["GET", "GET"]
    assert cache.get("/rb/").body == b"x" * 100_000


@pytest.mark.usefixtures("gems")
def test_an_index_stays_as_it_is(cache: Proxy, origin: Origin) -> None:
    told, direct = cache.get("/rb/info/tiny"), cache.get(origin.url("/up/info/tiny"))
    for name in ("ETag", "Repr-Digest", "Content-Length", "Accept-Ranges"):
        assert (name, told.get(name)) == (name, direct.get(name))
    assert (told.body, origin.count("/up/info/tiny")) == (direct.body, 1)


def test_another_gem_is_not_stored(
    cache: Proxy, origin: Origin, gems: dict[str, bytes], tmp_path: Path
) -> None:
    other = built(tmp_path / "other", "tiny", "1.0.0", needs="low", text="poisoned")
    path, right = next(iter(gems.items()))
    put_validated(origin, path, other, "application/octet-stream")
    done = bundle(tmp_path / "poisoned", cache)
    assert done.returncode != 0, words(done)
    assert f"in {origin.url('/up/info/tiny')}" in cache.log()
    put_validated(origin, path, right, "application/octet-stream")
    done = bundle(tmp_path / "right", cache)
    assert done.returncode == 0, words(done)
