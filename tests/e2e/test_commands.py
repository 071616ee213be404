"""The commands, each on a running cache and on a stopped one: what they do, print, and exit with."""

import hashlib
import io
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from harness import Proxy, clean_environment, fetch
from origin import Origin
from waiting import until

from pyproxycache.cli import main
from pyproxycache.messages import Entry, Head, Headers, Part
from pyproxycache.options import StoreOptions
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight_rows import Won
from pyproxycache.store.index.rows import insert_entry
from pyproxycache.wiring.stored import open_store

DONE, PROBLEMS, WRONG_USAGE = 0, 1, 2


@dataclass(frozen=True)
class Done:
    """A command's exit status and what it printed."""

    status: int
    stdout: str
    stderr: str


def run(*arguments: str, text: str = "", **environment: str) -> Done:
    """The command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "pyproxycache", *arguments],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(environment),
    )
    return Done(done.returncode, done.stdout, done.stderr)


def call(*arguments: str, **environment: str) -> Done:
    """The command in this process, which saves half a second."""
    out, errors, status = io.StringIO(), io.StringIO(), DONE
    with redirect_stdout(out), redirect_stderr(errors), patch.dict(os.environ, clear=True):
        os.environ |= clean_environment(environment)
        try:
            main(arguments, "pyproxycache")
        except SystemExit as end:
            status = int(end.code or DONE)
    return Done(status, out.getvalue(), errors.getvalue())


def printed(*arguments: str, status: int = DONE, **environment: str) -> Any:
    """What the command prints with --json."""
    done = call(*arguments, "--json", **environment)
    assert done.status == status, done.stderr
    return json.loads(done.stdout)


class Filled:
    """A cache with five responses, as commands are given it: by --cache-dir or by the environment."""

    def __init__(self, proxy: Proxy, origin: Origin) -> None:
        self.proxy, self.origin = proxy, origin
        self.where = ("--cache-dir", str(proxy.cache_dir))
        self.names = [f"/{name}" for name in ("a/1", "a/2", "b/1", "same", "[odd]")]
        for name in self.names:
            body = b"same bytes" if name in ("/same", "/b/1") else name.encode() * 5000
            origin.put(name, body, cache_control="max-age=3600", etag='"v"', headers=[("Vary", "X-Kind")])
            assert proxy.get(origin.url(name)).status == 200
        origin.forget()

    def url(self, name: str) -> str:
        return self.origin.url(name)

    def listed(self, *pattern: str) -> list[str]:
        return sorted(one["url"] for one in printed("ls", *pattern, *self.where))


@pytest.fixture(params=["running", "stopped"])
def filled(request: pytest.FixtureRequest, make_proxy: Callable[..., Proxy], origin: Origin) -> Filled:
    proxy = make_proxy(workers=2)
    cache = Filled(proxy, origin)
    if request.param == "stopped":
        proxy.terminate()
    return cache


def test_reading_commands(filled: Filled) -> None:
    urls = sorted(filled.url(name) for name in filled.names)
    assert filled.listed() == urls
    assert filled.listed("*/a/*") == [filled.url("/a/1"), filled.url("/a/2")]
    assert filled.listed("nothing*") == []
    (one,) = printed("show", filled.url("/[odd]"), *filled.where)
    assert (one["url"], one["status"], one["size"]) == (filled.url("/[odd]"), 200, 30_000)
    assert Path(one["file"]).read_bytes() == b"/[odd]" * 5000
    (same,) = printed("show", filled.url("/same"), *filled.where)
    assert same["file"] == str(filled.proxy.cache_dir / "index.sqlite")
    assert ["ETag", '"v"'] in [[name.replace("Etag", "ETag"), value] for name, value in one["headers"]]
    assert one["vary"] == {"x-kind": None}
    figures = printed("stats", *filled.where)
    assert (figures["entries"], figures["blobs"], figures["downloading"]) == (5, 4, 0)
    assert figures["bytes"] == sum(len(name) * 5000 for name in ("/a/1", "/a/2", "/[odd]")) + 10
    for command, text in (("ls", filled.url("/same")), ("stats", "entries"), ("show", "sha256")):
        arguments = [filled.url("/same")] if command == "show" else []
        done = run(command, *arguments, PYPROXYCACHE_CACHE_DIR=str(filled.proxy.cache_dir))
        assert (done.status, done.stderr) == (DONE, "")
        assert text in done.stdout


def test_purge(filled: Filled) -> None:
    where = filled.where
    assert printed("purge", filled.url("/a/1"), filled.url("/nothing"), *where) == {"purged": 1}
    assert printed("purge", "--prefix", filled.url("/a/"), *where) == {"purged": 1}
    assert printed("purge", "--pattern", "*/[[]odd]", *where) == {"purged": 1}
    assert filled.listed() == [filled.url("/b/1"), filled.url("/same")]
    done = call("purge", "--all", *where)
    assert (done.status, done.stdout) == (DONE, "purged 2 stored responses\n")
    assert filled.listed() == []
    assert not [path for path in filled.proxy.cache_dir.rglob("*") if len(path.name) == 64]


def test_purge_reaches_every_worker_at_once(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy(workers=2)
    filled = Filled(proxy, origin)
    for number in range(1, 4):
        origin.put("/same", b"new %d" % number, cache_control="max-age=3600")
        assert printed("purge", filled.url("/same"), *filled.where) == {"purged": 1}
        for _ in range(10):
            assert proxy.get(filled.url("/same")).body == b"new %d" % number
    assert origin.count("/same") == 3


def test_purge_follows_the_rules_of_keys(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy(config={"rules": [{"query": "ignore"}]})
    origin.put("/q", b"q", cache_control="max-age=60")
    assert proxy.get(origin.url("/q?signature=1")).body == b"q"
    where = ("-c", str(proxy.config_file), "--cache-dir", str(proxy.cache_dir))
    assert printed("show", origin.url("/q?signature=2"), *where)[0]["url"] == origin.url("/q")
    assert printed("purge", origin.url("/q?signature=3"), *where) == {"purged": 1}


# Variants, parts and groups, put there as a download would.

ORIGIN = "http://origin.example"


@pytest.fixture
def where(tmp_path: Path) -> tuple[str, str]:
    """A cache with two groups at two origins, a URL with a thousand variants, and parts."""
    store = open_store(StoreOptions(path=tmp_path))
    stored = [
        replace(held(f"{ORIGIN}/a"), groups=("red", "blue")),
        replace(held(f"{ORIGIN}/b"), groups=("red",)),
        replace(held(f"{ORIGIN}:8080/c"), groups=("red",)),
        replace(held(f"{ORIGIN}/one-part"), part=Part(10, 13, 100)),
        *(replace(held(f"{ORIGIN}/parts"), part=Part(at, at + 3, None)) for at in (0, 10)),
    ]
    for entry in stored:
        won = store.claims.claim(FlightKey(entry.key), os.urandom(8).hex(), 0.0)
        assert isinstance(won, Won)
        digest = hashlib.sha256(b"body").hexdigest()
        store.claims.store(won.claim, replace(entry, digest=digest), b"body")
    named = store.index.variants(f"{ORIGIN}/a", 1)[0]
    with store.database.write() as db:
        for number in range(1000):
            vary = (("accept-language", f"x-{number}"), ("cookie", None))
            many = replace(named, key=f"{ORIGIN}/many", vary=vary, groups=(), response_time=2000.0 + number)
            insert_entry(db, many, 6e9 + number)
    store.database.close()
    return ("--cache-dir", str(tmp_path))


def held(key: str) -> Entry:
    head = Head(200, "OK", Headers([("ETag", '"v"')]))
    return Entry(key, head, request_time=1000.0, response_time=1000.0, size=4)


@pytest.mark.parametrize(
    ("options", "purged"),
    [
        (["red"], ["/a", "/b", ":8080/c"]),
        (["blue"], ["/a"]),
        (["Red"], []),
        (["red", "--origin", ORIGIN], ["/a", "/b"]),
        (["red", "--origin", f"{ORIGIN.upper()}:80/any/path?query"], ["/a", "/b"]),
        (["red", "--origin", f"{ORIGIN}:8080"], [":8080/c"]),
        (["red", "--origin", "https://origin.example"], []),
    ],
)
def test_purge_of_a_group(where: tuple[str, str], options: list[str], purged: list[str]) -> None:
    before = {one["url"] for one in printed("ls", *where)}
    assert printed("purge", "--group", *options, *where) == {"purged": len(purged)}
    left = {one["url"] for one in printed("ls", *where)}
    assert before - left == {f"{ORIGIN}{name}" for name in purged}
    assert call("fsck", *where).stdout == "clean\n"


def test_ls_has_a_line_for_each_url(where: tuple[str, str]) -> None:
    lines = [line.partition("x ")[2] for line in call("ls", *where).stdout.splitlines()]
    assert lines == [
        f"{ORIGIN}/a",
        f"{ORIGIN}/b",
        f"{ORIGIN}:8080/c",
        f"{ORIGIN}/one-part  (bytes 10-13/100)",
        f"{ORIGIN}/parts  (2 parts)",
        f"{ORIGIN}/many  (1000 variants)",
    ]
    listed = {one["url"]: one for one in printed("ls", *where)}
    assert len(printed("ls", *where)) == 1006
    assert listed[f"{ORIGIN}/a"]["groups"] == ["red", "blue"]
    assert listed[f"{ORIGIN}/one-part"]["part"] == {"start": 10, "end": 13, "total": 100}
    assert listed[f"{ORIGIN}/many"]["part"] is None
    assert listed[f"{ORIGIN}/many"]["vary"] == {"accept-language": "x-999", "cookie": None}


def test_show_tells_what_is_stored_of_a_url(where: tuple[str, str]) -> None:
    shown = call("show", f"{ORIGIN}/a", *where).stdout.splitlines()
    assert "groups: red, blue" in shown
    assert "bytes 0-3/*" in call("show", f"{ORIGIN}/parts", *where).stdout
    lines = call("show", f"{ORIGIN}/many", *where).stdout.splitlines()
    assert "vary: accept-language: x-999, cookie" in lines
    assert "vary: accept-language: x-989, cookie" not in lines
    assert lines[-1] == "and 990 more; --json shows them all"
    assert [one["vary"]["accept-language"] for one in printed("show", f"{ORIGIN}/many", *where)] == [
        f"x-{number}" for number in range(999, -1, -1)
    ]


def test_gc(filled: Filled) -> None:
    small = ("--max-size", "40K", *filled.where)
    would = printed("gc", "--dry-run", *small)
    assert would["entries"] > 0
    assert len(filled.listed()) == 5
    done = printed("gc", *small)
    assert (done["entries"], done["bytes"]) == (would["entries"], would["bytes"])
    figures = printed("stats", *filled.where)
    assert figures["entries"] == 5 - done["entries"]
    assert figures["bytes"] <= 40960 * 0.9
    rest = run("gc", "--unused", "0s", *filled.where)
    assert (rest.status, rest.stdout.split()[:2]) == (DONE, ["removed", str(figures["entries"])])
    assert filled.listed() == []


def damage(filled: Filled) -> dict[str, str]:
    """Spoils one blob of each kind; the kind of problem by digest."""
    names = ("/a/1", "/a/2", "/[odd]")
    blobs = {name: printed("show", filled.url(name), *filled.where)[0] for name in names}
    Path(blobs["/a/1"]["file"]).unlink()
    with Path(blobs["/a/2"]["file"]).open("ab") as file:
        file.write(b"more")
    spoilt = Path(blobs["/[odd]"]["file"])
    content = bytearray(spoilt.read_bytes())
    content[100] ^= 1
    spoilt.chmod(0o600)
    spoilt.write_bytes(content)
    return {
        blobs["/a/1"]["sha256"]: "missing",
        blobs["/a/2"]["sha256"]: "size",
        blobs["/[odd]"]["sha256"]: "digest",
    }


def test_fsck(filled: Filled) -> None:
    assert printed("fsck", *filled.where) == []
    problems = damage(filled)
    found = printed("fsck", *filled.where, status=PROBLEMS)
    assert {one["sha256"]: one["problem"] for one in found} == problems
    assert sorted(url for one in found for url in one["urls"]) == sorted(
        filled.url(name) for name in ("/a/1", "/a/2", "/[odd]")
    )
    text = run("fsck", *filled.where)
    assert f"{filled.url('/a/1')}: its body is missing" in text.stdout
    assert (text.status, text.stdout.splitlines()[-1]) == (PROBLEMS, "3 problems")
    fixed = call("fsck", "--fix", *filled.where)
    assert (fixed.status, fixed.stdout.splitlines()[-1]) == (DONE, "3 problems fixed")
    assert call("fsck", *filled.where).stdout == "clean\n"
    assert filled.listed() == [filled.url("/b/1"), filled.url("/same")]


def test_what_fsck_removed_is_fetched_again(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    filled = Filled(make_proxy(), origin)
    damage(filled)
    printed("fsck", "--fix", *filled.where)
    for name in filled.names:
        assert filled.proxy.get(filled.url(name)).complete
    assert {asked.path for asked in origin.requests} == {"/a/1", "/a/2", "/[odd]"}


# fetch.


def test_fetch(make_proxy: Callable[..., Proxy], origin: Origin, tmp_path: Path) -> None:
    proxy = make_proxy()
    for number in range(6):
        origin.put(f"/{number}", b"x" * number, cache_control="max-age=60")
    origin.put("/a%7Eb/../c d", b"odd", cache_control="max-age=60")
    file = tmp_path / "urls"
    file.write_text(f"# a list\n\n{origin.url('/2')}\n  {origin.url('/3')}\n{origin.url('/2')}\n")
    urls = (origin.url("/0"), origin.url("/1"))
    got = printed("fetch", *urls, "--input", str(file), "-j", "3", "--proxy", proxy.netloc)
    assert [(one["url"], one["status"], one["bytes"], one["error"]) for one in got] == [
        (origin.url(f"/{number}"), 200, number, "") for number in range(4)
    ]
    piped = run("fetch", "-i", "-", text=origin.url("/4"), PYPROXYCACHE_PROXY=proxy.url)
    assert (piped.status, origin.url("/4") in piped.stdout) == (DONE, True)
    listening = call("fetch", origin.url("/5"), PYPROXYCACHE_LISTEN=proxy.netloc)
    assert listening.status == DONE
    assert sorted(asked.path for asked in origin.requests) == [f"/{number}" for number in range(6)]
    # As it is written: nothing is normalised on the way to the key.
    assert call("fetch", origin.url("/a%7Eb/../c"), "--proxy", proxy.netloc).status == PROBLEMS
    assert origin.requests[-1].target == "/a%7Eb/../c"


def test_fetch_tells_what_failed(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy(config={"fetch": {"tries": 1}})
    origin.put("/good", b"good", cache_control="max-age=60")
    origin.put("/cut", b"x" * 100_000, break_at=0.5, cache_control="max-age=60")
    origin.put("/mine", b"x" * 100_000, cache_control="private")
    names = ("/good", "/missing", "/cut", "/mine")
    urls = [*(origin.url(name) for name in names), "http://127.0.0.1:9/", "ftp://h/"]
    got = printed("fetch", *urls, "--proxy", proxy.netloc, status=PROBLEMS)
    assert [bool(one["error"]) for one in got] == [False, True, True, True, True, True]
    assert got[1]["error"] == "status 404"
    assert "broke off" in got[2]["error"]
    assert "not kept (private)" in got[3]["error"]
    assert got[4]["error"].startswith("status 502: ")
    told = call("fetch", *urls, "--proxy", proxy.netloc)
    assert told.status == PROBLEMS
    lines = told.stdout.splitlines() + told.stderr.splitlines()
    assert sorted(line.split(": ")[0] for line in lines) == sorted(urls)
    assert told.stdout.endswith("was there\n")
    assert "Traceback" not in told.stderr


def test_fetch_without_a_server_says_so_in_a_line(origin: Origin) -> None:
    nobody = call("fetch", origin.url("/good"), origin.url("/better"), "--proxy", "127.0.0.1:9")
    assert (nobody.status, nobody.stdout) == (PROBLEMS, "")
    assert "no cache answers at http://127.0.0.1:9" in nobody.stderr
    assert len(nobody.stderr.splitlines()) == 1
    assert [
        word for word in ("urllib3", "Errno", "Max retries", "object at") if word in nobody.stderr
    ] == []


def test_a_server_on_a_unix_socket_alone(tmp_path: Path, origin: Origin) -> None:
    """It starts; an address to greet with, or to fetch from, there is none."""
    path, origin_url = tmp_path / "p.sock", origin.url("/a")
    origin.put("/a", b"a", cache_control="max-age=60")
    command = [sys.executable, "-m", "pyproxycache", "serve", "--listen", f"unix:{path}"]
    environment = clean_environment({"PYPROXYCACHE_CACHE_DIR": str(tmp_path / "cache")})
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as serving:
        try:
            assert serving.stdout is not None
            greeting = iter(serving.stdout.readline, "")
            assert any(f"--unix-socket {path}" in line for line in greeting)
            with socket.socket(socket.AF_UNIX) as client:
                until(lambda: path.exists())
                client.connect(str(path))
                client.sendall(f"GET /{origin_url} HTTP/1.0\r\n\r\n".encode())
                assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
            asking = call("fetch", origin_url, PYPROXYCACHE_LISTEN=f"unix:{path}")
            assert (asking.status, "Unix sockets only" in asking.stderr) == (PROBLEMS, True)
        finally:
            serving.terminate()
            serving.wait(60)


def test_fetch_says_that_somebody_else_answers(origin: Origin) -> None:
    origin.put("/good", b"good", cache_control="max-age=60")
    (one,) = printed("fetch", origin.url("/good"), "--proxy", origin.url("/"), status=PROBLEMS)
    assert "is no pyproxycache" in one["error"]


def test_fetch_into_a_reverse_proxy(
    make_proxy: Callable[..., Proxy], origin: Origin, tmp_path: Path
) -> None:
    proxy = make_proxy(config={"upstream": origin.url("")})
    origin.put("/there", b"", status=302, headers=[("Location", "/good")])
    origin.put("/good", b"good", cache_control="max-age=60")
    file = tmp_path / "proxy.yaml"
    file.write_text(f"listen: {proxy.netloc}\nupstream: {origin.url('')}\n")
    got = printed("fetch", origin.url("/there"), "http://h/else", "-c", str(file), status=PROBLEMS)
    assert [(one["bytes"], bool(one["error"])) for one in got] == [(4, False), (0, True)]
    assert "stands before" in got[1]["error"]
    assert printed("fetch", origin.url("/good"), "-c", str(file), "--proxy", proxy.netloc)[0]["bytes"] == 4
    assert [asked.target for asked in origin.requests] == ["/there", "/good"]


@pytest.mark.parametrize("url", ["h/p", "-", "bad url", "ftp://h/p", "http://[", "http://[/x"])
def test_fetch_of_what_is_no_url(proxy: Proxy, url: str) -> None:
    (one,) = printed("fetch", url, "--proxy", proxy.netloc, status=PROBLEMS)
    assert "URL" in one["error"]
    assert one["status"] == 0


def test_fetch_from_a_cache_that_ends(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy()
    origin.put("/slow", b"x" * 1000, hang_at=10)
    command = [sys.executable, "-m", "pyproxycache", "fetch", origin.url("/slow"), "--proxy", proxy.netloc]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_environment()) as fetching:
        origin.wait_for("/slow")
        proxy.kill9()
        _, told = fetching.communicate(timeout=30)
    assert fetching.returncode == PROBLEMS
    assert [word for word in ("IncompleteRead", "Errno", "Traceback") if word in told] == []
    assert told.startswith(f"{origin.url('/slow')}: the c")


def test_fetch_follows_redirects_through_the_cache(proxy: Proxy, origin: Origin) -> None:
    for name, location in (("/a/there", origin.url("/b")), ("/a/near", "../b"), ("/round", "/round")):
        origin.put(name, b"", status=302, headers=[("Location", location)])
    origin.put("/b", b"found", cache_control="max-age=60")
    urls = [origin.url("/a/there"), origin.url("/a/near")]
    got = printed("fetch", *urls, "-j", "1", "--proxy", proxy.netloc)
    assert [(one["status"], one["bytes"]) for one in got] == [(200, 5), (200, 5)]
    assert origin.count("/b") == 1
    assert all("via" in {name.lower() for name, _ in asked.headers} for asked in origin.requests)
    (endless,) = printed("fetch", origin.url("/round"), "--proxy", proxy.netloc, status=PROBLEMS)
    assert "redirects" in endless["error"]


def on_terminal(*arguments: str) -> tuple[int, str]:
    """The command with a terminal for both streams; its exit status and what came to the terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pyproxycache", *arguments]
    environment = clean_environment({"TERM": "xterm", "COLUMNS": "60"})
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as running:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the terminal's other end is closed
            while data := os.read(ours, 65536):
                shown += data
        status = running.wait(60)
    os.close(ours)
    return status, shown.decode()


def test_fetch_on_a_terminal_has_a_line_for_each_url(proxy: Proxy, origin: Origin) -> None:
    urls = [
        origin.url(f"/a-name-that-is-longer-than-the-terminal-is-wide/{number}") for number in range(30)
    ]
    for number, url in enumerate(urls):
        if number % 5:
            origin.put(url.removeprefix(origin.url("")), b"x" * 300_000, cache_control="max-age=60")
    status, shown = on_terminal("fetch", *urls, "-j", "8", "--proxy", proxy.netloc)
    assert status == PROBLEMS
    for number, url in enumerate(urls):
        assert f"{url}: {'293.0 KiB' if number % 5 else 'status 404'}" in shown


def test_ls_on_a_terminal_names_its_columns(where: tuple[str, str]) -> None:
    status, shown = on_terminal("ls", *where)
    assert status == DONE
    assert shown.split("\r\n")[0].split() == ["HTTP", "SIZE", "USED", "HITS", "URL"]
    assert "HITS" not in run("ls", *where).stdout + run("ls", *where).stderr


@pytest.mark.parametrize(
    ("pattern", "hint"), [("deb", "as in '*deb*'"), ("*.deb", "a glob for the whole URL")]
)
def test_ls_says_how_a_pattern_works_where_nothing_matches(
    where: tuple[str, str], pattern: str, hint: str
) -> None:
    done = call("ls", pattern, *where)
    assert (done.status, done.stdout) == (DONE, "")
    assert hint in done.stderr


def test_show_says_what_is_left_of_the_freshness(filled: Filled) -> None:
    shown = call("show", filled.url("/same"), *filled.where).stdout
    assert re.search(r"^freshness: fresh for 59 min \d+ s more$", shown, re.MULTILINE)
    assert re.search(r"^received: \d{4}-\d\d-\d\d \d\d:.* \(\d+ s ago\)$", shown, re.MULTILINE)

    (one,) = printed("show", filled.url("/same"), *filled.where)
    assert 3500 < one["fresh_for"] < 3600
    assert one["kisscache_ttl"] is None


def test_show_of_what_is_stale(where: tuple[str, str]) -> None:
    assert "freshness: stale" in call("show", f"{ORIGIN}/a", *where).stdout
    assert printed("show", f"{ORIGIN}/a", *where)[0]["fresh_for"] <= 0


def test_fetch_ends_at_once_when_interrupted(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    proxy = make_proxy()
    origin.put("/slow", b"x" * 1000, hang_at=10)
    command = [sys.executable, "-m", "pyproxycache", "fetch", origin.url("/slow"), "--proxy", proxy.netloc]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=clean_environment()) as fetching:
        origin.wait_for("/slow")
        fetching.send_signal(signal.SIGINT)
        assert fetching.wait(5.0) != DONE


def test_fetch_in_the_background_is_not_interrupted(
    make_proxy: Callable[..., Proxy], origin: Origin
) -> None:
    """A shell has SIGINT ignored by what it runs there."""
    proxy = make_proxy()
    origin.put("/late", b"x" * 1000, head_delay=1.0, cache_control="max-age=60")
    fetch = [sys.executable, "-m", "pyproxycache", "fetch", origin.url("/late"), "--proxy", proxy.netloc]
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *fetch]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=clean_environment()) as fetching:
        origin.wait_for("/late")
        fetching.send_signal(signal.SIGINT)
        assert fetching.wait(30.0) == DONE


def test_closed_standard_streams_become_nobody_elses(tmp_path: Path) -> None:
    """Else what is opened next has their numbers, and what is printed goes into it."""
    told = tmp_path / "told"
    (tmp_path / "click.py").write_text(
        "import os\n"
        "links = [os.readlink(f'/proc/self/fd/{fd}') for fd in (0, 1, 2)]\n"
        f"open({str(told)!r}, 'w').write(' '.join(links))\n"
        "print('nowhere')\n"
        "raise KeyboardInterrupt\n"
    )
    closed = '"$0" -m pyproxycache ls <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", closed, sys.executable],
        check=False,
        timeout=60,
        env=clean_environment({"PYTHONPATH": str(tmp_path)}),
    )
    assert (done.returncode, told.read_text()) == (130, "/dev/null /dev/null /dev/null")


def test_interrupted_while_it_is_being_loaded(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, "-m", "pyproxycache", "ls"],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment({"PYTHONPATH": str(tmp_path)}),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


# What is wrong.


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["purge"],
        ["purge", "--all", "http://h/"],
        ["purge", "--prefix", "--pattern", "x"],
        ["purge", "not-a-url"],
        ["purge", "--prefix", "example.org/"],
        ["purge", "--prefix", ""],
        ["purge", "--group", "a", "http://h/"],
        ["purge", "--group", "a", "--all"],
        ["purge", "--group", "a", "--prefix"],
        ["purge", "--group", "a", "--origin", "not-a-url"],
        ["purge", "--group", "a", "--origin", ""],
        ["purge", "--origin", "http://h/"],
        ["purge", "--all", "--origin", "http://h/"],
        ["show", "not-a-url"],
        ["show"],
        ["fetch"],
        ["fetch", "http://h/", "-j", "0"],
        ["fetch", "-i", "/dev/null"],
        ["fetch", "http://h/", "--proxy", "3128"],
        ["fetch", "http://h/", "--proxy", "http://h/path"],
        ["gc", "--max-size", "large"],
        ["gc", "--unused", "long"],
        ["serve", "--workers", "0"],
        ["serve", "--listen", "nowhere"],
        ["serve", "--upstream", "ftp://h/"],
        ["serve", "-c", "/nonexistent/file"],
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str], filled_once: Proxy) -> None:
    using = run if arguments[0] == "serve" else call  # a server that does start shall not be this process
    done = using(*arguments, PYPROXYCACHE_CACHE_DIR=str(filled_once.cache_dir))
    assert (done.status, done.stdout) == (WRONG_USAGE, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["ls --json", "stats", "stats --json", "fsck", "config show", "gc"])
def test_output_that_cannot_be_written(command: str, filled_once: Proxy) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pyproxycache", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env=clean_environment({"PYPROXYCACHE_CACHE_DIR": str(filled_once.cache_dir)}),
        )
    assert done.returncode == PROBLEMS
    assert done.stderr == "pyproxycache: cannot write to standard output: No space left on device\n"


@pytest.fixture(scope="module")
def filled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with Proxy(tmp_path_factory.mktemp("once")) as running:
        yield running


@pytest.mark.parametrize("command", ["ls", "stats", "gc", "fsck", "purge --all", "show http://h/"])
def test_no_cache_is_made_by_asking_for_it(command: str, tmp_path: Path) -> None:
    done = call(*command.split(), "--cache-dir", str(tmp_path / "none"))
    assert (done.status, done.stdout) == (PROBLEMS, "")
    assert "there is no cache in" in done.stderr
    assert not (tmp_path / "none").exists()


def test_show_of_what_is_not_stored(filled_once: Proxy) -> None:
    done = call("show", "http://h/none", "--cache-dir", str(filled_once.cache_dir))
    assert (done.status, "nothing is stored" in done.stderr) == (PROBLEMS, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("alow: 10.0.0.0/8", ["alow", "did you mean allow"]),
        ("store: {max_size: plenty}", ["store.max_size", "'plenty'", "200G"]),
        ("rules: [{match: {path: '('}}]", ["rules[0].match.path", "'('"]),
        ("listen: [", ["line"]),
        ("workers: 1\nworkers: 2", ["line 2", "twice"]),
    ],
)
def test_config_check(tmp_path: Path, text: str, told: list[str]) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(text)
    done = call("config", "check", str(file))
    assert (done.status, done.stdout) == (PROBLEMS, "")
    assert [part for part in (str(file), *told) if part not in done.stderr] == []
    serving = run("serve", "-c", str(file))
    assert (serving.status, serving.stderr) == (WRONG_USAGE, done.stderr)


def test_config_show_is_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text("store: {max_size: 5G}\nallow: 10.0.0.0/8")
    assert call("config", "check", str(file)).stdout == f"{file}: good\n"
    shown = call("config", "show", PYPROXYCACHE_CONFIG=str(file), PYPROXYCACHE_CACHE_DIR="/else/where")
    values = yaml.safe_load(shown.stdout)
    assert (values["store"]["max_size"], values["store"]["path"]) == ("5G", "/else/where")
    file.write_text(shown.stdout)
    assert call("config", "check", str(file)).status == DONE


def test_config_show_has_what_flags_and_variables_say(tmp_path: Path) -> None:
    """As `serve` would use it, and refused as `serve` would refuse it."""
    variables = {"PYPROXYCACHE_LISTEN": "127.0.0.1:1 127.0.0.1:2", "PYPROXYCACHE_WORKERS": "3"}
    shown = call("config", "show", "--threads", "7", "--cache-dir", str(tmp_path), **variables)
    values = yaml.safe_load(shown.stdout)
    assert [values[key] for key in ("listen", "workers", "threads")] == [
        ["127.0.0.1:1", "127.0.0.1:2"],
        3,
        7,
    ]
    refused = call("config", "show", PYPROXYCACHE_WORKERS="many")
    assert (refused.status, refused.stdout) == (WRONG_USAGE, "")
    assert refused.stderr.startswith("pyproxycache: PYPROXYCACHE_WORKERS: 'many' is not a count")
    fetching = call("fetch", "http://h/", PYPROXYCACHE_LISTEN="x")
    assert fetching.stderr.startswith("pyproxycache: PYPROXYCACHE_LISTEN: 'x' is not an address")
    asking = call("fetch", "http://h/", PYPROXYCACHE_PROXY="x")
    assert asking.stderr.startswith("pyproxycache: PYPROXYCACHE_PROXY: 'x' is not an address")


def test_config_show_asks_the_running_server(make_proxy: Callable[..., Proxy]) -> None:
    proxy = make_proxy(config={"store": {"max_size": "5G"}})
    where = ("--cache-dir", str(proxy.cache_dir))
    assert yaml.safe_load(call("config", "show", *where).stdout)["store"]["max_size"] != "5G"

    def adopted() -> Any:
        return yaml.safe_load(call("config", "show", "--running", *where).stdout)

    shown = adopted()
    assert (shown["store"]["max_size"], shown["listen"]) == ("5G", [proxy.netloc])
    reload(proxy, {"store": {"max_size": "6G"}})
    assert adopted()["store"]["max_size"] == "6G"
    proxy.configure({"store": {"max_size": "7G"}, "allow": "nowhere"})
    proxy.reload()
    until(lambda: "stays as it was" in proxy.log())
    assert adopted()["store"]["max_size"] == "6G"
    (file,) = proxy.cache_dir.glob("running-*.yaml")
    assert file.stat().st_mode & 0o077 == 0
    proxy.terminate()
    gone = call("config", "show", "--running", *where)
    assert (gone.status, gone.stdout) == (PROBLEMS, "")
    assert "no server uses the cache in" in gone.stderr


def test_config_show_knows_each_server_of_a_folder(tmp_path: Path) -> None:
    cache_dir = tmp_path / "cache"

    def shown() -> str:
        told = call("config", "show", "--running", "--cache-dir", str(cache_dir))
        assert told.status == 0, told.stderr
        return str(yaml.safe_load(told.stdout)["listen"][0])

    with Proxy(tmp_path / "one", cache_dir=cache_dir) as one:
        with Proxy(tmp_path / "two", cache_dir=cache_dir) as two:
            assert shown() == two.netloc
        assert shown() == one.netloc
    with Proxy(tmp_path / "three", cache_dir=cache_dir):
        assert len(list(cache_dir.glob("running*"))) == 1, "those of servers that have ended are removed"


# serve.

# What a service manager does before it runs the program.
ACTIVATE = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_serve_knows_where_it_listens_under_socket_activation(tmp_path: Path) -> None:
    with closing(Proxy(tmp_path)) as proxy:
        at = proxy.command.index("--listen") + 1
        proxy.command[at] = "192.0.2.1:1"  # of nobody, and without effect
        proxy.command[:0] = [sys.executable, "-c", ACTIVATE, str(proxy.address[1])]
        proxy.start()

        def shown() -> Any:
            where = ("--running", "--cache-dir", str(proxy.cache_dir))
            return yaml.safe_load(call("config", "show", *where).stdout)["listen"]

        own = proxy.get(f"{proxy.url}/http://127.0.0.1:1/")
        assert (own.status, b"is this proxy itself" in own.body) == (508, True)
        assert f"pyproxycache listens on {proxy.netloc}\n" in proxy.log()
        assert shown() == [proxy.netloc]
        proxy.reload()
        until(lambda: "is in force" in proxy.log())
        assert shown() == [proxy.netloc]
        assert proxy.get(f"{proxy.url}/http://127.0.0.1:1/").status == 508
        assert proxy.terminate() == 0


def test_serve_needs_no_flag(tmp_path: Path, origin: Origin) -> None:
    """Only the address is given: port 3128 may be another's here."""
    with Proxy(tmp_path) as proxy:
        address = proxy.netloc
        proxy.terminate()
        proxy.command = proxy.command[:4]
        proxy.environment |= {"PYPROXYCACHE_LISTEN": address, "XDG_CACHE_HOME": str(tmp_path / "home")}
        proxy.log_file.unlink()
        proxy.start()
        assert proxy.get(origin.url("/missing")).status == 404
        assert (tmp_path / "home" / "pyproxycache" / "index.sqlite").exists()
        lines = proxy.log().splitlines()
        for told in (
            f"listens on {address}",
            str(tmp_path / "home"),
            f"export http_proxy=http://{address}",
        ):
            assert [line for line in lines if told in line]


@pytest.mark.parametrize("downloading", [False, True])
def test_interrupt_ends_serve_at_once(proxy: Proxy, origin: Origin, downloading: bool) -> None:
    body = b"x" * 100_000
    origin.put("/slow", body, hang_at=0.5, etag='"1"', cache_control="max-age=60")
    waiting = proxy.download(origin.url("/slow"))
    if downloading:
        waiting.begun(1000)
    group = proxy.group()
    ends = [os.pidfd_open(pid) for pid in group]
    os.killpg(proxy.pid, signal.SIGINT)  # as a terminal does
    for end in ends:
        assert select.select([end], [], [], 5.0)[0]
        os.close(end)
    waiting.close()
    assert proxy.group() == []


def test_workers_end_with_their_master(make_proxy: Callable[..., Proxy], origin: Origin) -> None:
    origin.put("/slow", b"x" * 100_000, hang_at=0.5, cache_control="max-age=60")
    proxy = make_proxy(workers=2, config={"fetch": {"drain": "1s"}})
    ends = [os.pidfd_open(pid) for pid in proxy.worker_pids()]
    with proxy.download(origin.url("/slow")) as waiting:
        waiting.take(1000)
        os.kill(proxy.pid, signal.SIGKILL)
        for end in ends:
            assert select.select([end], [], [], 10.0)[0]
            os.close(end)
    assert "Traceback" not in proxy.log()


def test_cache_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    listen = f"127.0.0.1:{port}"
    done = run("serve", "--cache-dir", str(tmp_path / "file" / "cache"), "--listen", listen)
    assert done.status == WRONG_USAGE
    assert "Traceback" not in done.stderr
    assert str(tmp_path) in done.stderr


def test_reload(make_proxy: Callable[..., Proxy], origin: Origin, tmp_path: Path) -> None:
    proxy = make_proxy(config={"allow": "127.0.0.0/8"})
    origin.put("/page", b"page", cache_control="max-age=60")
    assert proxy.get(origin.url("/page")).status == 200
    reload(proxy, {"allow": "192.0.2.0/24"})
    assert proxy.get(origin.url("/page")).status == 403
    reload(proxy, {"log": {"access": str(tmp_path / "access.log"), "format": "common"}})
    assert proxy.get(f"{origin.url('/page')}?token=s3cret").status == 200
    proxy.terminate()
    *_others, line = (tmp_path / "access.log").read_text().splitlines()
    assert f'"GET {origin.url("/page")}? HTTP/1.1" 200 4' in line
    assert line.startswith("127.0.0.1 ")


def reload(proxy: Proxy, config: Any) -> list[int]:
    """SIGHUP with another configuration; returns the new workers once the old ones are gone."""
    old = proxy.worker_pids()
    ends = [os.pidfd_open(pid) for pid in old]
    proxy.configure(config)
    proxy.reload()
    for end in ends:
        assert select.select([end], [], [], 10.0)[0]
        os.close(end)
    fetch(proxy.address, "/")  # answered: a new worker is there
    return [pid for pid in proxy.worker_pids() if pid not in old]
