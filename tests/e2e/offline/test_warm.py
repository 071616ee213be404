"""The command `warm`: what lock files name is stored, and real clients install it offline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import DONE, PROBLEMS, WRONG_USAGE, Done, call, on_terminal, printed
from harness import Proxy
from origin import Origin
from package_shelf import PackageShelf, npm, pip, sha256

from pyproxycache.cli.downloads import locating

MakeProxy = Callable[..., Proxy]


@pytest.fixture
def shelf(origin: Origin) -> PackageShelf:
    return PackageShelf(origin)


@pytest.fixture
def cache(make_proxy: MakeProxy, shelf: PackageShelf) -> Proxy:
    return make_proxy(workers=2, config={"mirrors": shelf.mirrors})


def asked(cache: Proxy) -> list[str]:
    """The options that name the cache and its configuration."""
    return ["--proxy", cache.netloc, "-c", str(cache.config_file)]


def warmed(cache: Proxy, *arguments: str | Path) -> Done:
    return call("warm", *map(str, arguments), *asked(cache))


def go_offline(cache: Proxy, origin: Origin) -> None:
    cache.command += ["--offline"]
    cache.restart()
    origin.stop()


def requirements(shelf: PackageShelf, folder: Path, *files: str) -> Path:
    path = folder / "requirements.txt"
    lines = []
    for file in files:
        name, version = file.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{sha256(shelf.wheels[file])}\n")
    path.write_text("".join(lines))
    return path


def test_requirements_for_pip(cache: Proxy, shelf: PackageShelf, origin: Origin, tmp_path: Path) -> None:
    shelf.put_wheels("tiny", "1.0", "2.0")
    shelf.put_wheels("other", "1.0")
    lock = requirements(shelf, tmp_path, "tiny-1.0-py3-none-any.whl", "other-1.0-py3-none-any.whl")
    done = warmed(cache, lock)
    assert (done.status, done.stderr) == (DONE, "")
    assert done.stdout.startswith("6 files in the cache, ")
    assert origin.count("/py/files/tiny-2.0-py3-none-any.whl") == 0
    again = warmed(cache, lock)
    assert "; 6 of them were there" in again.stdout or "were there" in again.stdout
    go_offline(cache, origin)
    index = f"{cache.url}/py/simple/"
    done_by_pip = pip(tmp_path / "pip", index, "--require-hashes", "-r", str(lock))
    assert done_by_pip.returncode == 0, done_by_pip.stderr
    assert (tmp_path / "pip" / "got" / "tiny.py").exists()


def test_an_index_without_end_is_given_up(
    cache: Proxy, shelf: PackageShelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.put_wheels("tiny", "1.0", "2.0")
    lock = requirements(shelf, tmp_path, "tiny-1.0-py3-none-any.whl")
    for name, value, said in (
        ("MOST_FILES", 1, "more than 1 files"),
        ("LARGEST_INDEX", 9, "larger than 0 MB"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(locating, name, value)
            done = warmed(cache, lock)
        assert (done.status, said in done.stderr) == (PROBLEMS, True)


def package_lock(packages: dict[str, object]) -> dict[str, object]:
    wanted = dict.fromkeys(packages, "1.0.0")
    root = {"name": "user", "version": "1.0.0", "dependencies": wanted}
    folders = {f"node_modules/{name}": package for name, package in packages.items()}
    head = {"name": "user", "version": "1.0.0", "lockfileVersion": 3, "requires": True}
    return {**head, "packages": {"": root, **folders}}


@pytest.mark.parametrize("way", ["mirror", "named", "prefix"])
def test_package_lock_for_npm(
    cache: Proxy, shelf: PackageShelf, origin: Origin, tmp_path: Path, way: str
) -> None:
    packages = {name: shelf.put_archive(name, "1.0.0") for name in ("small", "@scope/part")}
    lock = tmp_path / "package-lock.json"
    lock.write_text(json.dumps(package_lock(packages)))
    options = {
        "mirror": asked(cache),
        "named": ["--proxy", cache.netloc, "--mirror", "js"],
        "prefix": ["--proxy", cache.netloc],
    }
    done = call("warm", str(lock), *options[way])
    assert (done.status, done.stderr) == (DONE, "")
    assert done.stdout.startswith("2 files in the cache, ")
    go_offline(cache, origin)
    root = {"name": "user", "version": "1.0.0", "dependencies": dict.fromkeys(packages, "1.0.0")}
    files = {"package.json": root, "package-lock.json": package_lock(packages)}
    # The lock file names the upstream, which has gone: npm asks the mirror in its place.
    got = npm(tmp_path / "npm", f"{cache.url}/js/", "ci", "--replace-registry-host=always", files=files)
    if way != "prefix" or got.returncode == 0:
        assert got.returncode == 0, got.stderr
        assert (tmp_path / "npm" / "node_modules" / "@scope" / "part" / "package.json").exists()


def test_uv_lock_and_a_lock_by_names_alone(
    cache: Proxy, shelf: PackageShelf, origin: Origin, tmp_path: Path
) -> None:
    shelf.put_wheels("tiny", "1.0")
    file = "tiny-1.0-py3-none-any.whl"
    url, digest = origin.url(f"/py/files/{file}"), sha256(shelf.wheels[file])
    uv = tmp_path / "uv.lock"
    uv.write_text(
        'version = 1\n[[package]]\nname = "tiny"\nversion = "1.0"\n'
        f'wheels = [{{ url = "{url}", hash = "sha256:{digest}" }}]\n'
    )
    for _ in range(2):
        assert warmed(cache, uv).status == DONE
    assert origin.count(f"/py/files/{file}") == 1
    names = tmp_path / "requirements.txt"
    names.write_text("Tiny==1.0.0\n")
    printed_files = printed("warm", str(names), *asked(cache))["files"]
    assert [one["error"] for one in printed_files] == [""] * 3
    missing = tmp_path / "poetry.lock"
    missing.write_text(
        '[[package]]\nname = "tiny"\nversion = "1.0"\nfiles = [{file = "tiny-1.0.tar.gz", hash = ""}]\n'
    )
    done = warmed(cache, missing)
    assert done.status == PROBLEMS
    assert "tiny-1.0.tar.gz: /py/simple/tiny/ has no such file" in done.stderr


def test_a_file_with_another_digest_is_told(
    cache: Proxy, shelf: PackageShelf, origin: Origin, tmp_path: Path
) -> None:
    package = shelf.put_archive("small", "1.0.0")
    lock = tmp_path / "package-lock.json"
    lock.write_text(json.dumps(package_lock({"small": package})))
    # Bytes that nobody has named.
    origin.put("/js/small/-/small-1.0.0.tgz", b"other bytes", etag='"x"')
    done = warmed(cache, lock)
    assert done.status == PROBLEMS
    assert "its sha-512 is " in done.stderr or "status 502" in done.stderr or "broke off" in done.stderr
    assert "1 problem" in done.stdout
    # What is right the second time is asked for anew, and kept.
    origin.put("/js/small/-/small-1.0.0.tgz", shelf.archives["/js/small/-/small-1.0.0.tgz"], etag='"y"')
    assert warmed(cache, lock).status == DONE


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("requirements.txt", "tiny>=1\n", "requirements.txt: line 1: 'tiny>=1' is not pinned"),
        ("things", "", "things: its name tells no format"),
        ("Cargo.lock", "[", "Cargo.lock: it is not TOML"),
    ],
)
def test_what_is_no_lock_file(cache: Proxy, tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    done = warmed(cache, tmp_path / name)
    assert done.status == WRONG_USAGE
    assert said in done.stderr


def test_no_mirror_for_names(cache: Proxy, tmp_path: Path) -> None:
    (tmp_path / "go.sum").write_text("example.com/m v1.0.0 h1:x=\n")
    done = warmed(cache, tmp_path / "go.sum")
    assert (done.status, "v1.0.0.zip: its lock file names no URL" in done.stderr) == (PROBLEMS, True)
    assert "no mirror is of go: configure one" in done.stderr
    (tmp_path / "requirements.txt").write_text("tiny==1.0\n")
    for name, said in (("none", "there is no mirror 'none'"), ("js", "'js' is a mirror of npm")):
        done = warmed(cache, tmp_path / "requirements.txt", "--mirror", name)
        assert (done.status, said in done.stderr) == (WRONG_USAGE, True)
    done = call("warm", str(tmp_path / "requirements.txt"), "--proxy", cache.netloc, "--mirror", "none")
    assert (done.status, "/none/simple/tiny/: status 404" in done.stderr) == (PROBLEMS, True)


def test_many_at_once_on_a_terminal(cache: Proxy, shelf: PackageShelf, tmp_path: Path) -> None:
    packages = {f"part-{number}": shelf.put_archive(f"part-{number}", "1.0.0") for number in range(40)}
    lock = tmp_path / "package-lock.json"
    lock.write_text(json.dumps(package_lock(packages)))
    status, shown = on_terminal("warm", str(lock), "-j", "8", *asked(cache))
    assert (status, "40 files in the cache" in shown) == (DONE, True)


def test_fetch_below_a_mirror(cache: Proxy, shelf: PackageShelf, origin: Origin) -> None:
    shelf.put_archive("small", "1.0.0")
    done = call("fetch", "--mirror", "js", "small/-/small-1.0.0.tgz", "gone", "--proxy", cache.netloc)
    assert (done.status, "gone: status 404" in done.stderr) == (PROBLEMS, True)
    assert done.stdout.startswith("small/-/small-1.0.0.tgz: ")
    assert origin.count("/js/small/-/small-1.0.0.tgz") == 1
    for arguments, said in ((("none", "x"), "no mirror 'none'"), (("js", "http://x/"), "is no path below")):
        done = call("fetch", "--mirror", *arguments, *asked(cache))
        assert (done.status, said in done.stderr) == (WRONG_USAGE, True)


def test_nothing_that_others_wrote_controls_a_terminal(
    cache: Proxy, shelf: PackageShelf, origin: Origin, tmp_path: Path
) -> None:
    control = "\x1b]0;owned\x07\u202e\x9b2J"
    lock = tmp_path / "package-lock.json"
    packages = {
        f"node_modules/{control}": {"version": "1", "resolved": "git+ssh://x"},
        "node_modules/gone": {"version": "1.0.0"},
    }
    lock.write_text(json.dumps({"lockfileVersion": 3, "packages": packages}))
    origin.put("/js/gone", control.encode(), status=404)
    done = warmed(cache, lock)
    assert done.status == PROBLEMS
    assert r"left out: \x1b]0;owned\x07\u202e\x9b2J: 'git+ssh://x' is no URL" in done.stderr
    assert r"gone 1.0.0: /js/gone: status 404: \x1b]0;owned\x07\u202e\x9b2J" in done.stderr
    assert all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())
    done = call("export", str(tmp_path / "a.tar"), "--lock", str(lock), "--cache-dir", str(cache.cache_dir))
    assert all(line.isprintable() for line in (done.stdout + done.stderr).splitlines())
