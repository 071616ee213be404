"""The commands `pin` and `unpin`, and `warm --pin`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from commands import DONE, PROBLEMS, WRONG_USAGE, call, printed
from harness import Proxy
from origin import Origin
from package_shelf import PackageShelf, npm

MakeProxy = Callable[..., Proxy]


def stored(cache: Proxy) -> dict[str, bool]:
    """The URLs that are stored, and whether they are pinned."""
    return {one["url"]: one["pinned"] for one in printed("ls", "--cache-dir", str(cache.cache_dir))}


def test_what_is_pinned_stays(make_proxy: MakeProxy, origin: Origin) -> None:
    cache = make_proxy()
    of = ["--cache-dir", str(cache.cache_dir)]
    for name in ("a.deb", "b.deb", "c"):
        origin.put(f"/{name}", b"x" * 50_000, cache_control="max-age=600")
        assert cache.get(origin.url(f"/{name}")).status == 200
    done = call("pin", origin.url("/c"), *of)
    assert (done.status, done.stdout) == (DONE, "pinned 1 URL\n")
    assert call("pin", "--pattern", "*/a.*", *of).stdout == "pinned 1 URL\n"
    assert f"{origin.url('/c')}  (pinned)\n" in call("ls", *of).stdout
    assert "pinned: it is not evicted" in call("show", origin.url("/c"), *of).stdout
    assert call("gc", "--max-size", "0", *of).status == DONE
    assert stored(cache) == {origin.url("/a.deb"): True, origin.url("/c"): True}
    assert cache.get(origin.url("/c")).status == 200
    assert origin.count("/c") == 1
    assert call("unpin", *of).status == WRONG_USAGE
    assert call("unpin", origin.url("/c"), *of).stdout == "unpinned 1 URL\n"
    assert call("unpin", "--all", *of).stdout == "unpinned 1 URL\n"
    call("gc", "--max-size", "0", *of)
    assert stored(cache) == {}


def test_warm_and_pin(make_proxy: MakeProxy, origin: Origin, tmp_path: Path) -> None:
    shelf = PackageShelf(origin)
    package = shelf.put_archive("small", "1.0.0")
    root = {"name": "user", "version": "1.0.0", "dependencies": {"small": "1.0.0"}}
    packages = {"": root, "node_modules/small": package}
    lock = {"name": "user", "version": "1.0.0", "lockfileVersion": 3, "packages": packages}
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    cache = make_proxy(config={"mirrors": shelf.mirrors})
    here, there = ["--cache-dir", str(cache.cache_dir)], ["--proxy", cache.netloc, "--mirror", "js"]
    own = tmp_path / "own.yaml"
    own.write_text(f"store: {{path: {cache.cache_dir}, reserve: 0}}\n")
    warm = ["warm", str(tmp_path / "package-lock.json"), "--pin", *there]
    done = call(*warm, "-c", str(own))
    assert (done.status, done.stderr) == (DONE, "")
    call("gc", "--max-size", "0", *here)
    assert list(stored(cache).values()) == [True]
    cache.command += ["--offline"]
    cache.restart()
    origin.stop()
    files = {"package.json": root, "package-lock.json": lock}
    got = npm(tmp_path / "npm", f"{cache.url}/js/", "ci", "--replace-registry-host=always", files=files)
    assert got.returncode == 0, got.stderr
    done = call("pin", "--pattern", "small", *here)
    assert (done.status, "a glob for the whole URL, as in '*small*'" in done.stderr) == (DONE, True)
    # Another cache's folder has nothing to pin.
    other = make_proxy()
    other_own = tmp_path / "other.yaml"
    other_own.write_text(f"store: {{path: {other.cache_dir}, reserve: 0}}\n")
    done = call(*warm, "-c", str(other_own))
    assert (done.status, "nothing is pinned: the cache in " in done.stderr) == (PROBLEMS, True)
