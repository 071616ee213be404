"""The commands `export` and `import`: what is stored goes to another machine as one file."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from commands import DONE, PROBLEMS, WRONG_USAGE, call, on_terminal, printed, run
from harness import Proxy, clean_environment
from origin import Origin
from package_shelf import PackageShelf, npm, pip, sha256
from waiting import until

MakeProxy = Callable[..., Proxy]


@pytest.fixture
def shelf(origin: Origin) -> PackageShelf:
    found = PackageShelf(origin)
    found.put_wheels("tiny", "1.0", "2.0")
    found.put_archive("small", "1.0.0")
    return found


@pytest.fixture
def cache(make_proxy: MakeProxy, shelf: PackageShelf) -> Proxy:
    return make_proxy(config={"mirrors": shelf.mirrors})


def of(cache: Proxy) -> list[str]:
    return ["--cache-dir", str(cache.cache_dir)]


def filled(cache: Proxy, origin: Origin, tmp_path: Path) -> Path:
    """An archive of a cache with two small responses and a large one."""
    origin.put("/a.deb", b"a", headers=[("X-Field", "v\xe4lue")], cache_control="max-age=600")
    origin.put("/b.deb", b"b" * 300_000, cache_control="max-age=600")
    origin.put("/c", b"", cache_control="max-age=600")
    for path in ("/a.deb", "/b.deb", "/c"):
        assert cache.get(origin.url(path)).status == 200
    archive = tmp_path / "all.tar"
    done = call("export", str(archive), *of(cache))
    assert (done.status, done.stdout) == (DONE, "exported 3 stored responses, 293.0 KiB\n")
    return archive


def test_all_of_it_to_another_machine(
    cache: Proxy, make_proxy: MakeProxy, origin: Origin, tmp_path: Path
) -> None:
    archive = filled(cache, origin, tmp_path)
    with tarfile.open(archive) as opened:  # a plain tar file for everyone
        names = opened.getnames()
    assert names[0] == "pyproxycache-archive.json"
    assert len(names) == 2 + 3 * 2
    far = make_proxy()
    done = call("import", str(archive), *of(far))
    assert (done.status, done.stdout) == (DONE, "imported 3 responses, 293.0 KiB\n")
    origin.stop()
    assert far.get(origin.url("/b.deb")).body == b"b" * 300_000
    reply = far.get(origin.url("/a.deb"))
    assert (reply.body, reply.get("X-Field")) == (b"a", "v\xe4lue")
    again = call("import", str(archive), *of(far))
    assert (again.status, again.stdout) == (DONE, "imported 0 responses, 0 B\n")
    assert "left out 3 responses: what is here is as new or newer" in again.stderr
    assert call("fsck", *of(far)).stdout == "clean\n"
    # Into a folder where nothing was, and through pipes.
    patterns = ("*.deb", "*/a.*")
    piped = call("export", str(tmp_path / "debs.tar"), *patterns, *of(cache))
    assert piped.stdout.startswith("exported 2 stored responses")
    new = tmp_path / "new"
    with (tmp_path / "debs.tar").open("rb") as opened:
        text = opened.read().decode("latin-1")
    assert text.count("b" * 300_000) == 1
    assert run("import", str(tmp_path / "debs.tar"), "--cache-dir", str(new)).status == DONE
    assert len(printed("ls", "--cache-dir", str(new))) == 2


def test_who_has_too_little_room_is_told_what_was_evicted(
    cache: Proxy, origin: Origin, tmp_path: Path
) -> None:
    """Else all would seem to be there, of which the last ones have taken the place of the first."""
    for number in range(40):
        origin.put(f"/{number}", f"{number:02}".encode() * 50_000, cache_control="max-age=600")
        assert cache.get(origin.url(f"/{number}")).status == 200
    archive, small = tmp_path / "all.tar", ("--cache-dir", str(tmp_path / "small"))
    assert call("export", str(archive), *of(cache)).status == DONE
    config = tmp_path / "small.yaml"
    config.write_text("store: {max_size: 2M, reserve: 0}\n")
    done = call("import", str(archive), "-c", str(config), *small)
    there = len(printed("ls", *small))
    assert there < 40
    assert done.stdout.startswith("imported 40 responses")
    assert done.stderr.startswith(f"evicted {40 - there} responses, ")
    again = printed("import", str(archive), "-c", str(config), *small)
    assert again["evicted"] > 0


def test_by_lock_files_for_pip_and_npm(
    cache: Proxy, make_proxy: MakeProxy, shelf: PackageShelf, origin: Origin, tmp_path: Path
) -> None:
    file = "tiny-1.0-py3-none-any.whl"
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"tiny==1.0 --hash=sha256:{sha256(shelf.wheels[file])}\n")
    package = shelf.put_archive("small", "1.0.0")
    root = {"name": "user", "version": "1.0.0", "dependencies": {"small": "1.0.0"}}
    lock = {
        "name": "user",
        "version": "1.0.0",
        "lockfileVersion": 3,
        "packages": {"": root, "node_modules/small": package},
    }
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    locks = ["--lock", str(requirements), "--lock", str(tmp_path / "package-lock.json")]
    archive = tmp_path / "locked.tar"
    empty = call("export", str(archive), *locks, *of(cache))
    assert empty.status == PROBLEMS
    assert "small-1.0.0.tgz: not in the cache; `pyproxycache warm` downloads it" in empty.stderr
    warm = ["--proxy", cache.netloc, "-c", str(cache.config_file)]
    assert call("warm", *locks[1::2], *warm).status == DONE
    assert cache.get(origin.url("/py/files/tiny-2.0-py3-none-any.whl")).status == 200
    done = call("export", str(archive), *locks, *of(cache))
    assert (done.status, done.stderr) == (DONE, "")
    assert done.stdout.startswith("exported 4 stored responses")  # the index, for pip and for uv
    far = make_proxy(config={"mirrors": shelf.mirrors}, arguments=["--offline"])
    assert call("import", str(archive), *of(far)).status == DONE
    origin.stop()
    by_pip = pip(tmp_path / "pip", f"{far.url}/py/simple/", "--require-hashes", "-r", str(requirements))
    assert by_pip.returncode == 0, by_pip.stderr
    files = {"package.json": root, "package-lock.json": lock}
    by_npm = npm(tmp_path / "npm", f"{far.url}/js/", "ci", "--replace-registry-host=always", files=files)
    assert by_npm.returncode == 0, by_npm.stderr


def member(name: str, content: bytes, size: int | None = None, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content) if size is None else size
    info.type = kind
    info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


ABOUT = member(
    "pyproxycache-archive.json", json.dumps({"format": "pyproxycache archive", "version": 1}).encode()
)


def head(**changes: Any) -> bytes:
    whole = {
        "key": "http://host.test/x",
        "status": 200,
        "reason": "OK",
        "fields": [["Cache-Control", "max-age=600"]],
        "request_time": 1.7e9,
        "response_time": 1.7e9,
        "vary": [],
        "digest": hashlib.sha256(b"body").hexdigest(),
        "size": 4,
    }
    return member("00000001.json", json.dumps({**whole, **changes}).encode())


BODY = member("00000001.body", b"body")
END = member("end.json", b'{"entries": 1}') + bytes(1024)


def test_an_archive_made_by_hand_is_taken(tmp_path: Path) -> None:
    """So what is refused below is refused for what is wrong there."""
    (tmp_path / "made.tar").write_bytes(ABOUT + head() + BODY + END)
    done = call("import", str(tmp_path / "made.tar"), "--cache-dir", str(tmp_path / "cache"))
    assert (done.status, done.stderr) == (DONE, "")


LYING = {
    "nothing": (b"", "it ends too early"),
    "no tar": (b"x" * 4096, "it is not a tar file"),
    "compressed": (b"\x1f\x8b" + b"x" * 4096, "it is not a tar file"),
    "another tar": (member("etc/passwd", b"x"), "it was not made by"),
    "another format": (member("pyproxycache-archive.json", b'{"format": "x"}'), "it was not made by"),
    "a newer one": (
        member("pyproxycache-archive.json", b'{"format": "pyproxycache archive", "version": 2, "by": "9"}'),
        "it has version 2 of the format, made by pyproxycache 9: this one reads version 1",
    ),
    "one whose maker controls terminals": (
        member(
            "pyproxycache-archive.json",
            json.dumps({"format": "pyproxycache archive", "version": 2, "by": "\x1b[2J"}).encode(),
        ),
        r"made by pyproxycache \x1b[2J: this one",
    ),
    "cut in a head": (ABOUT + head()[:600], "it ends too early"),
    "cut in a body": (ABOUT + head() + BODY[:514], "it ends too early"),
    "cut before the end": (ABOUT + head() + BODY, "it ends too early"),
    "other bytes": (ABOUT + head() + member("00000001.body", b"b0dy") + END, "has other bytes"),
    "another size": (ABOUT + head(size=5) + BODY + END, "is not followed by its body"),
    "a size beyond all": (ABOUT + head(size=1 << 60) + BODY + END, "is not as export writes it"),
    "a negative size": (ABOUT + head(size=-4) + BODY + END, "is not as export writes it"),
    "a huge head": (ABOUT + member("00000001.json", b"", 1 << 40), "has 1099511627776 bytes"),
    "a path upward": (ABOUT + member("../../x", b"x"), "is none of an archive"),
    "a link": (ABOUT + member("00000001.json", b"", kind=tarfile.SYMTYPE), "is none of an archive"),
    "a device": (ABOUT + member("00000001.json", b"", kind=tarfile.CHRTYPE), "is none of an archive"),
    "a long name": (ABOUT + member("x", b"x" * 600, 1 << 40, tarfile.GNUTYPE_LONGNAME), "none of an"),
    "extended headers": (ABOUT + member("x", b"x", 1 << 40, tarfile.XHDTYPE), "is none of an archive"),
    "the wrong count": (
        ABOUT + head() + BODY + member("end.json", b'{"entries": 2}'),
        "says that it has 2 responses, and has 1",
    ),
    "no JSON": (ABOUT + member("00000001.json", b"[" * 100_000), "is not as export writes it"),
    "no URL": (
        ABOUT + head(key="ftp://host/x") + BODY + END,
        "the head of 'ftp://host/x' is not as export",
    ),
    "no normal URL": (ABOUT + head(key="http://HOST/x") + BODY + END, "not in normal form"),
    "a URL with a line": (ABOUT + head(key="http://h/x\r\ny") + BODY + END, "is not as export"),
    "a field with a line": (ABOUT + head(fields=[["A", "b\r\nC: d"]]) + BODY + END, "as export writes"),
    "a field of wide characters": (ABOUT + head(fields=[["A", "\u1234"]]) + BODY + END, "as export writes"),
    "a field that controls": (ABOUT + head(fields=[["A", "\x1b[2J"]]) + BODY + END, "as export writes"),
    "a reason of wide characters": (ABOUT + head(reason="\u1234") + BODY + END, "as export writes"),
    "an answer to a condition": (ABOUT + head(status=304) + BODY + END, "none that is stored"),
    "a part of nothing": (ABOUT + head(status=206) + BODY + END, "none that is stored"),
    "a field without name": (ABOUT + head(fields=[["A b", "c"]]) + BODY + END, "no valid name"),
    "a digest that is a path": (ABOUT + head(digest="../" * 21 + "a") + BODY + END, "as export writes"),
    "a status of its own": (ABOUT + head(status=101) + BODY + END, "is not as export writes it"),
    "a time that is none": (ABOUT + head(response_time=1e300) + BODY + END, "is not as export writes it"),
    "a part of another size": (
        ABOUT + head(part={"start": 0, "end": 9, "total": 10}) + BODY + END,
        "a part of another size",
    ),
    "a peer that is none": (ABOUT + head(peer="host") + BODY + END, "is not as export"),
}


@pytest.mark.parametrize(("content", "said"), LYING.values(), ids=LYING)
def test_a_lying_archive_costs_nothing(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "lying.tar").write_bytes(content)
    done = call("import", str(tmp_path / "lying.tar"), "--cache-dir", str(tmp_path / "cache"))
    assert done.status == PROBLEMS
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.replace("\n", "").isprintable()
    assert len(done.stderr) < 2000
    assert list((tmp_path / "cache" / "partial").iterdir()) == []
    listed = printed("ls", "--cache-dir", str(tmp_path / "cache"))
    assert len(listed) == (1 if said.startswith(("it ends", "says that")) and BODY in content else 0)


def test_what_an_archive_says_controls_no_terminal(tmp_path: Path) -> None:
    said = {
        "reason": "\x1b[2J",
        "fields": [["A", "\x9b2J"]],
        "groups": ["\x1b[2J"],
        "peer": "fe80::1%\x1b[2J",
    }
    (tmp_path / "made.tar").write_bytes(ABOUT + head(**said) + BODY + END)
    where = ("--cache-dir", str(tmp_path / "cache"))
    assert call("import", str(tmp_path / "made.tar"), *where).status == DONE
    shown = call("show", "http://host.test/x", *where).stdout
    assert shown.startswith("http://host.test/x\n200 \\x1b[2J\n  A: \\x9b2J\n")
    assert all(line.isprintable() for line in shown.splitlines())


def test_what_does_not_fit_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "made.tar").write_bytes(ABOUT + head() + BODY + END)
    (tmp_path / "small.yaml").write_text(
        f"store: {{path: {tmp_path / 'cache'}, max_object: 3, reserve: 0}}\n"
    )
    done = call("import", str(tmp_path / "made.tar"), "-c", str(tmp_path / "small.yaml"))
    assert (done.status, "left out 1 response: they are larger" in done.stderr) == (PROBLEMS, True)
    late = tmp_path / "late.tar"
    late.write_bytes(ABOUT + head(response_time=9e9, request_time=9e9) + BODY + END)
    done = call("import", str(late), "--cache-dir", str(tmp_path / "cache"))
    assert (done.status, "they come from the future" in done.stderr) == (PROBLEMS, True)
    done = call("import", str(tmp_path), "--cache-dir", str(tmp_path / "cache"))
    assert "is a folder" in done.stderr


def test_a_damaged_body_is_not_exported(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    archive = filled(cache, origin, tmp_path)
    cache.terminate()  # it would find the damage first
    (blob,) = [path for path in (cache.cache_dir / "blobs").rglob("*") if path.is_file()]
    blob.write_bytes(b"c" * 300_000)
    done = call("export", str(tmp_path / "bad.tar"), *of(cache))
    assert (done.status, "is damaged" in done.stderr) == (PROBLEMS, True)
    assert not (tmp_path / "bad.tar").exists()
    assert not list(tmp_path.glob("*.new"))
    assert io.BytesIO(archive.read_bytes()).getbuffer().nbytes > 300_000


def test_an_archive_is_nothing_for_a_terminal(cache: Proxy) -> None:
    status, shown = on_terminal("export", "-", *of(cache))
    assert (status, "nothing for a terminal" in shown) == (WRONG_USAGE, True)


def test_where_an_archive_cannot_be_written(cache: Proxy, origin: Origin, tmp_path: Path) -> None:
    filled(cache, origin, tmp_path)
    done = call("export", str(tmp_path / "gone/a.tar"), *of(cache))
    assert (done.status, "gone/a.tar: No such file" in done.stderr) == (PROBLEMS, True)
    os.mkfifo(tmp_path / "pipe")
    done = call("export", str(tmp_path / "pipe"), *of(cache))
    assert (done.status, "pipe is no file: name one" in done.stderr) == (WRONG_USAGE, True)
    assert (tmp_path / "pipe").is_fifo()


@contextmanager
def importing(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """An import from a pipe, and the pipe."""
    command = [sys.executable, "-m", "pyproxycache", "import", "-", "--cache-dir", str(folder)]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=clean_environment(), **pipes) as process:
        assert process.stdin is not None
        yield process, process.stdin


def large(url: str, **changes: Any) -> tuple[bytes, bytes]:
    """A response of 3 MB: its head, its body."""
    body = b"x" * 3_000_000
    digest = hashlib.sha256(body).hexdigest()
    return head(key=url, digest=digest, size=len(body), **changes), member("00000001.body", body)


def test_what_is_stored_while_an_older_one_is_imported_stays(cache: Proxy, origin: Origin) -> None:
    url = origin.url("/x")
    origin.put("/x", b"new", cache_control="max-age=600")
    headed, body = large(url)
    with importing(cache.cache_dir) as (process, pipe):
        pipe.write(ABOUT + headed + body[:1_500_000])
        pipe.flush()
        until(lambda: list((cache.cache_dir / "partial").iterdir()))
        assert cache.get(url).body == b"new"
        out, said = process.communicate(body[1_500_000:] + END)
    assert (out, b"what is here is as new or newer" in said) == (b"imported 0 responses, 0 B\n", True)
    assert [one["size"] for one in printed("show", url, *of(cache))] == [3]


def test_the_same_is_imported_twice_at_once(cache: Proxy, origin: Origin) -> None:
    url = origin.url("/x")
    headed, body = large(url, response_time=time.time() - 5, request_time=time.time() - 5)
    with importing(cache.cache_dir) as (first, one), importing(cache.cache_dir) as (second, two):
        for pipe in (one, two):
            pipe.write(ABOUT + headed + body[:1_500_000])
            pipe.flush()
        until(lambda: len(list((cache.cache_dir / "partial").iterdir())) == 2)
        outs = [process.communicate(body[1_500_000:] + END)[0] for process in (first, second)]
    assert sorted(out.split()[1] for out in outs) == [b"0", b"1"]
    assert cache.get(url).body == b"x" * 3_000_000
    assert origin.count("/x") == 0
    assert call("fsck", *of(cache)).stdout == "clean\n"


def test_an_import_that_is_killed_leaves_what_gc_removes(cache: Proxy) -> None:
    headed, body = large("http://host.test/x")
    with importing(cache.cache_dir) as (process, pipe):
        pipe.write(ABOUT + headed + body[:-1_000_000])
        pipe.flush()
        until(lambda: list((cache.cache_dir / "partial").iterdir()))
        process.kill()
    assert "1 leftover file" in call("gc", *of(cache)).stdout
    assert list((cache.cache_dir / "partial").iterdir()) == []
    assert call("fsck", *of(cache)).stdout == "clean\n"


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=2-5", None),
        ("bytes=3-4", {"start": 2, "end": 5, "total": 10}),
        ("", {"start": 2, "end": 5, "total": 10}),
    ],
    ids=["the whole", "around it", "a part of the whole"],
)
def test_an_older_one_takes_nothing_newer_away(
    cache: Proxy, origin: Origin, tmp_path: Path, asked: str, part: dict[str, int] | None
) -> None:
    """A whole response takes the place of its parts, and a part that of those within it."""
    url = origin.url("/x")
    origin.put("/x", b"0123456789", cache_control="max-age=600", etag='"new"')
    wanted = cache.get(url, [("Range", asked)] if asked else ())
    assert wanted.complete
    before = [(one["part"], one["sha256"]) for one in printed("show", url, *of(cache))]
    (tmp_path / "old.tar").write_bytes(ABOUT + head(key=url, part=part) + BODY + END)
    done = call("import", str(tmp_path / "old.tar"), *of(cache))
    assert "what is here is as new or newer" in done.stderr
    assert [(one["part"], one["sha256"]) for one in printed("show", url, *of(cache))] == before


def test_an_import_that_is_interrupted_keeps_what_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    command = [sys.executable, "-m", "pyproxycache", "import", "-", "--cache-dir", str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    ) as importing:
        assert importing.stdin is not None
        assert importing.stderr is not None
        importing.stdin.write(ABOUT + head() + BODY + head()[:100])
        importing.stdin.flush()
        until(lambda: (folder / "index.sqlite").exists() and printed("ls", "--cache-dir", str(folder)))
        importing.send_signal(signal.SIGINT)
        assert (importing.wait(10), importing.stderr.read()) == (130, b"")
    assert list((folder / "partial").iterdir()) == []
