"""The commands that read, purge and check a cache: what they do, print, and exit with."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from commands import DONE, PROBLEMS, WRONG_USAGE, call, on_terminal, printed, run
from harness import Proxy, clean_environment
from origin import Origin

from pyproxycache.messages import Entry, Head, Headers, Part
from pyproxycache.options import StoreOptions
from pyproxycache.routing.flight_key import FlightKey
from pyproxycache.store.flights.flight_rows import Won
from pyproxycache.store.index.rows import insert_entry
from pyproxycache.wiring.stored import open_store


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
