"""The access log of the whole server: what analysers make of it, and that no line is lost or in halves."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import REPOSITORY, Proxy
from origin import Asked, Origin, Resource
from raw import Conversation
from readable import is_readable

MakeProxy = Callable[..., Proxy]

FORMATS = ("squid", "common", "combined", "json")
QUOTED = r'"(?:[^"\\]|\\.)*"'
SHAPES = {
    "squid": re.compile(r" *\d+\.\d{3} +\d+ \S+ [A-Z_]+/\d{3} \d+ \S+ \S+ - [A-Z_]+/\S+ \S+"),
    "common": re.compile(rf"\S+ - - \[[^]]+\] {QUOTED} \d{{3}} (?:\d+|-)"),
    "combined": re.compile(rf"\S+ - - \[[^]]+\] {QUOTED} \d{{3}} (?:\d+|-) {QUOTED} {QUOTED}"),
    "json": re.compile(r"\{.*\}"),
}
SECRETS = ("s3cret", "Authorization", "Cookie", "dXNlcjp")


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def exchange(proxy: Proxy, head: str) -> bytes:
    """One request on its own connection; all that comes until the proxy closes it, having logged it."""
    with Conversation(proxy.address) as conversation:
        return conversation.send(f"{head}\r\nConnection: close\r\n\r\n".encode("latin-1")).rest()


class Log:
    """A named pipe in place of a file: reading waits for lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        # Open both ways: the proxy's opening must not wait for a reader, nor a read end with the proxy.
        self._pipe = os.fdopen(os.open(path, os.O_RDWR), "rb", buffering=0)
        self._rest = b""

    def line(self) -> str:
        while b"\n" not in self._rest:
            self._rest += self._pipe.read(65536)
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode("ascii")

    def close(self) -> None:
        self._pipe.close()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "live.log")
    yield log
    log.close()


@pytest.fixture
def visited(make_proxy: MakeProxy, origin: Origin, tmp_path: Path) -> Callable[..., list[str]]:
    """Makes requests of all kinds and gives the lines that they left."""

    def visit(**options: Any) -> list[str]:
        path = tmp_path / "access.log"
        proxy = make_proxy(workers=2, config={"log": {"access": str(path), **options}})
        origin.put("/page", b"page", cache_control="max-age=60", headers=[("Content-Type", "text/html")])
        origin.put("/gone", b"gone", status=404, cache_control="max-age=60")
        origin.put("/post", b"posted")
        nasty = [
            ("User-Agent", 'a"b\\ - "GET / HTTP/1.1" 200 1'),
            ("Referer", "http://u:s3cret@h/r?s3cret#s3cret"),
        ]
        secret = [
            ("Authorization", "Basic s3cret"),
            ("Cookie", "s3cret"),
            ("Proxy-Authorization", "s3cret"),
        ]
        for _ in range(3):
            proxy.get(origin.url("/page"), nasty)
        proxy.get(origin.url("/page?token=s3cret"), secret)
        proxy.get(origin.url("/gone"))
        proxy.get(origin.url("/post"), method="POST", body=b"s3cret")
        proxy.get(origin.url("/page"), method="HEAD")
        proxy.get("/api/v1/health/")
        proxy.get("/nowhere?s3cret")
        proxy.get("http://user:s3cret@127.0.0.1:none/")
        proxy.get("http://127.0.0.1:1/")
        exchange(proxy, f"GET {origin.url('/page')} HTTP/1.1\r\nHost: s3cret\r\nbad s3cret")
        proxy.terminate()
        return path.read_text(encoding="ascii").splitlines()

    return visit


@pytest.mark.parametrize("form", FORMATS)
def test_a_line_for_each_request_and_no_secret(visited: Callable[..., list[str]], form: str) -> None:
    lines = visited(format=form)
    assert len(lines) == 12
    assert [line for line in lines if not SHAPES[form].fullmatch(line)] == []
    assert [line for line in lines if any(secret in line for secret in SECRETS)] == []


@pytest.mark.parametrize("form", FORMATS)
def test_queries_are_kept_where_that_is_wanted(visited: Callable[..., list[str]], form: str) -> None:
    lines = visited(format=form, query=True)
    assert len([line for line in lines if "/page?token=s3cret" in line]) == 1
    assert [line for line in lines if "u:s3cret" in line or "user:s3cret" in line] == []


def test_what_squid_calls_it(make_proxy: MakeProxy, origin: Origin, live: Log) -> None:
    proxy = make_proxy(config={"log": {"access": str(live.path)}})
    changed = iter((b"old", b"new", b"newest"))

    def answer(asked: Asked) -> Resource:
        body = next(changed)
        return Resource(body, etag=f'"{body!r}"', cache_control="max-age=0")

    origin.put(
        "/page", b"page", etag='"1"', cache_control="max-age=60", headers=[("Content-Type", "text/html")]
    )
    origin.put("/old", b"page", etag='"1"', cache_control="max-age=0")
    origin.put("/changed", handler=answer)
    origin.put("/gone", b"gone", status=404, cache_control="max-age=60")
    origin.put("/private", b"page", cache_control="private")
    direct, none = "HIER_DIRECT/127.0.0.1", "HIER_NONE/-"
    for path, fields, code, hierarchy in (
        ("/page", "", "TCP_MISS/200", direct),
        ("/page", "", "TCP_HIT/200", none),
        ("/page", '\r\nIf-None-Match: "1"', "TCP_IMS_HIT/304", none),
        ("/page", "\r\nRange: bytes=0-1", "TCP_HIT/206", none),
        ("/page", "\r\nCache-Control: no-cache", "TCP_REFRESH_UNMODIFIED/200", direct),
        ("/old", "", "TCP_MISS/200", direct),
        ("/old", "", "TCP_REFRESH_UNMODIFIED/200", direct),
        ("/changed", "", "TCP_MISS/200", direct),
        ("/changed", "", "TCP_REFRESH_MODIFIED/200", direct),
        ("/changed", "\r\nCache-Control: no-store", "TCP_CLIENT_REFRESH_MISS/200", direct),
        ("/gone", "", "TCP_MISS/404", direct),
        ("/gone", "", "TCP_NEGATIVE_HIT/404", none),
        ("/private", "", "TCP_MISS/200", direct),
        ("/none", "\r\nCache-Control: only-if-cached", "TCP_MISS/504", none),
    ):
        answered = exchange(proxy, f"GET {origin.url(path)} HTTP/1.1\r\nHost: h{fields}")
        words = live.line().split()
        assert words[3] == code, path
        assert int(words[4]) == len(answered), path
        assert words[5:9] == ["GET", origin.url(path), "-", hierarchy]


def test_what_is_no_http(make_proxy: MakeProxy, live: Log) -> None:
    proxy = make_proxy(config={"log": {"access": str(live.path)}})
    refused = exchange(proxy, "GET http://s3cret/ HTTP/1.1\r\nHost: s3cret\r\nno field")
    _time, _took, *words = live.line().split()
    size = str(len(refused))
    assert words[:4] == ["127.0.0.1", "NONE_NONE/400", size, "-"]
    assert words[4:] == ["error:invalid-request", "-", "HIER_NONE/-", "text/plain"]


def test_collapsed_and_aborted(make_proxy: MakeProxy, origin: Origin, live: Log) -> None:
    proxy = make_proxy(config={"log": {"access": str(live.path), "format": "json"}})
    origin.put("/large", b"x" * 8_000_000, cache_control="max-age=60")
    gate = origin.gate("/large", 4_000_000)
    leader, follower, leaver = (proxy.download(origin.url("/large")) for _ in range(3))
    leader.start()
    gate.wait_reached()
    follower.begun(1000)
    follower.start()
    leaver.open()
    leaver.close()
    gate.open()
    leader.join()
    follower.join()
    lines = [json.loads(live.line()) for _ in range(3)]
    whole = [line for line in lines if line["bytes"] == 8_000_000]
    assert sorted(line["squid"] for line in whole) == ["TCP_CF_HIT", "TCP_MISS"]
    (left,) = (line for line in lines if line not in whole)
    assert (left["squid"], left["aborted"]) == ("TCP_CF_HIT_ABORTED", True)
    assert left["bytes"] < 8_000_000


def test_denied_and_through_a_parent(make_proxy: MakeProxy, origin: Origin, live: Log) -> None:
    proxy = make_proxy(config={"log": {"access": str(live.path)}, "parent": origin.url("")})
    origin.put("/page", b"page", cache_control="max-age=60")
    assert proxy.get("http://elsewhere.example/page").status == 200
    assert live.line().split()[8] == "FIRSTUP_PARENT/127.0.0.1"
    closed = make_proxy(config={"log": {"access": str(live.path)}, "allow": "192.0.2.0/24"})
    refused = exchange(closed, "GET http://user:s3cret@elsewhere.example/page?s3cret HTTP/1.1\r\nHost: h")
    _time, _took, _client, *words = live.line().split()
    assert words[:2] == ["TCP_DENIED/403", str(len(refused))]
    assert words[2:6] == ["GET", "http://-@elsewhere.example/page?", "-", "HIER_NONE/-"]


# Renaming, stopping, being held up.


def hits(proxy: Proxy, url: str, name: str, count: int, done: Callable[[], object] = lambda: None) -> None:
    """So many requests on one connection, each with a User-Agent of its own."""
    with Conversation(proxy.address) as conversation:
        for number in range(count):
            head = f"GET {url} HTTP/1.1\r\nHost: h\r\nUser-Agent: {name}-{number}\r\n\r\n"
            assert conversation.send(head.encode()).reply().status == 200
            done()


def test_renamed_while_requests_run(make_proxy: MakeProxy, origin: Origin, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "access.log"
    proxy = make_proxy(workers=2, config={"log": {"access": str(path), "format": "combined"}})
    origin.put("/page", b"page", cache_control="max-age=60")
    url, progress = origin.url("/page"), threading.Semaphore(0)
    clients = [
        threading.Thread(target=hits, args=(proxy, url, f"client{number}", 400, progress.release))
        for number in range(4)
    ]
    for client in clients:
        client.start()
    for rotation in range(15):
        for _ in range(100):
            assert progress.acquire(timeout=20)
        wait_for_lines(path, proxy)
        path.rename(folder / f"access.log.{rotation}")
        os.kill(proxy.pid, signal.SIGUSR1)
    for client in clients:
        client.join()
    proxy.terminate()
    lines = [line for file in folder.iterdir() for line in file.read_text(encoding="ascii").splitlines()]
    assert [line for line in lines if not SHAPES["combined"].fullmatch(line)] == []
    found = Counter(line.rpartition(" ")[2].strip('"') for line in lines)
    del found["waiting"]
    assert found == Counter(f"client{c}-{n}" for c in range(4) for n in range(400))


@needs("logrotate")
def test_logrotate(make_proxy: MakeProxy, origin: Origin, tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.log"
    path.parent.mkdir(mode=0o700)
    proxy = make_proxy(workers=2, config={"log": {"access": str(path), "format": "combined"}})
    origin.put("/page", b"page", cache_control="max-age=60")
    text = (REPOSITORY / "contrib" / "logrotate" / "pyproxycache").read_text()
    text = text.replace("/var/log/pyproxycache/*.log", str(path), 1)
    text = re.sub("systemctl kill .*", f"kill -USR1 {proxy.pid}", text)
    rules = tmp_path / "rules"
    rules.write_text(text)
    rules.chmod(0o600)
    for name in ("first", "second", "third"):
        hits(proxy, origin.url("/page"), name, 50)
        wait_for_lines(path, proxy)
        command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(rules)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    proxy.terminate()
    opened = {".gz": gzip.open, ".1": open, ".log": open}
    found: Counter[str] = Counter()
    for file in path.parent.iterdir():
        with opened[file.suffix](file, "rt") as lines:
            found.update(line.split()[-1].strip('"') for line in lines)
    del found["waiting"]
    assert found == Counter(f"{name}-{n}" for name in ("first", "second", "third") for n in range(50))
    assert len(list(path.parent.glob("*.gz"))) == 2


def wait_for_lines(path: Path, proxy: Proxy) -> None:
    """Until the signal has made the file and a batch is in it; requests take the place of pauses."""
    for _ in range(5000):
        if path.exists() and path.stat().st_size:
            return
        proxy.get("/api/v1/health/", [("User-Agent", "waiting")])
    raise TimeoutError(f"{path} was not written")


def test_a_line_comes_by_itself_and_hits_do_not_wait_for_the_log(
    make_proxy: MakeProxy, origin: Origin, live: Log
) -> None:
    proxy = make_proxy(config={"log": {"access": str(live.path), "format": "combined"}})
    origin.put("/page", b"page", cache_control="max-age=60")
    hits(proxy, origin.url("/page"), "first", 1)
    assert live.line().endswith('"first-0"')  # nothing else was asked, nothing stopped
    # More than the pipe holds, while nobody reads it.
    hits(proxy, origin.url("/page"), "held-up", 2000)
    assert [live.line().rpartition(" ")[2] for _ in range(2000)] == [f'"held-up-{n}"' for n in range(2000)]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_every_line_is_written_at_a_stop(
    make_proxy: MakeProxy, origin: Origin, tmp_path: Path, sent: signal.Signals
) -> None:
    path = tmp_path / "access.log"
    proxy = make_proxy(workers=2, config={"log": {"access": str(path)}})
    origin.put("/page", b"page", cache_control="max-age=60")
    for _ in range(20):
        exchange(proxy, f"GET {origin.url('/page')} HTTP/1.1\r\nHost: h")
    ends = [os.pidfd_open(pid) for pid in proxy.worker_pids()]
    os.kill(proxy.pid, sent)
    for end in ends:
        assert is_readable(end, 20)
        os.close(end)
    assert len(path.read_text().splitlines()) == 20


# Standard output and syslog.


def test_standard_output(make_proxy: MakeProxy, origin: Origin) -> None:
    proxy = make_proxy(workers=2, config={"log": {"access": "-", "format": "json"}})
    origin.put("/page", b"page", cache_control="max-age=60")
    clients = [
        threading.Thread(target=hits, args=(proxy, origin.url("/page"), f"client{number}", 300))
        for number in range(4)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    proxy.terminate()
    lines = [json.loads(line) for line in proxy.log().splitlines() if line.startswith("{")]
    found = Counter(line["user_agent"] for line in lines)
    assert found == Counter(f"client{c}-{n}" for c in range(4) for n in range(300))


@pytest.fixture
def syslogd(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What a syslog daemon listens on, by UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.settimeout(10)
        daemon.bind(("127.0.0.1", 0))
        yield f"syslog:127.0.0.1:{daemon.getsockname()[1]}", daemon


def received(daemon: socket.socket, count: int) -> list[str]:
    """Lines as a daemon writes them to its file: without the priority."""
    return [re.sub(r"^<190>", "", daemon.recv(65536).decode("ascii")) for _ in range(count)]


def test_syslog(make_proxy: MakeProxy, origin: Origin, syslogd: tuple[str, socket.socket]) -> None:
    where, daemon = syslogd
    proxy = make_proxy(config={"log": {"access": where, "format": "combined"}})
    origin.put("/page", b"page")
    proxy.get(origin.url("/page"), [("User-Agent", "x\xffy")])
    (line,) = received(daemon, 1)
    head, _, text = line.partition("]: ")
    assert re.fullmatch(r"[A-Z][a-z]{2} [ \d]\d (?:\d\d:){2}\d\d \S+ pyproxycache\[\d+", head)
    assert SHAPES["combined"].fullmatch(text)


# What others read out of it.


def goaccess(folder: Path, lines: list[str], *options: str) -> dict[str, Any]:
    """What goaccess makes of the lines; fails where it refuses one."""
    (folder / "read.log").write_text("".join(f"{line}\n" for line in lines))
    output = folder / "report.json"
    command = ["goaccess", str(folder / "read.log"), "--no-global-config", "-o", str(output), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(output.read_text())
    assert report["general"]["failed_requests"] == 0
    assert report["general"]["valid_requests"] == len(lines)
    return report


def statuses(report: dict[str, Any]) -> dict[str, int]:
    groups = report["status_codes"]["data"]
    return {item["data"][:3]: item["hits"]["count"] for group in groups for item in group["items"]}


STATUSES = {"200": 7, "404": 2, "400": 2, "502": 1}


@needs("goaccess")
def test_goaccess_reads_combined(visited: Callable[..., list[str]], tmp_path: Path) -> None:
    report = goaccess(tmp_path, visited(format="combined"), "--log-format=COMBINED")
    assert statuses(report) == STATUSES


@needs("goaccess")
def test_goaccess_reads_common(visited: Callable[..., list[str]], tmp_path: Path) -> None:
    report = goaccess(tmp_path, visited(format="common"), "--log-format=COMMON")
    assert statuses(report) == STATUSES


@needs("goaccess")
def test_goaccess_reads_squid(visited: Callable[..., list[str]], tmp_path: Path) -> None:
    form = "--log-format=%x.%^ %~%L %h %^/%s %b %^ %U %^"
    report = goaccess(tmp_path, visited(), form, "--datetime-format=%s")
    assert statuses(report) == STATUSES


@needs("goaccess")
def test_goaccess_reads_squid_by_way_of_syslog(
    make_proxy: MakeProxy, origin: Origin, syslogd: tuple[str, socket.socket], tmp_path: Path
) -> None:
    where, daemon = syslogd
    proxy = make_proxy(config={"log": {"access": where}})
    origin.put("/page", b"page", cache_control="max-age=60")
    for _ in range(5):
        proxy.get(origin.url("/page"))
    report = goaccess(tmp_path, received(daemon, 5), "--log-format=SQUID")
    assert statuses(report) == {"200": 5}


@needs("calamaris")
def test_calamaris_reads_squid(visited: Callable[..., list[str]]) -> None:
    lines = visited()
    command = ["calamaris", "-a"]
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=True)
    found = dict(
        re.findall(r"^ ?([A-Za-z_ ]+?):? +(?:lines|requests)? *(\d+)\b", done.stdout, re.MULTILINE)
    )
    assert found["lines parsed"] == "12"
    assert found["invalid lines"] == "0"
    assert found["Total amount"] == "12"
    assert found["Total amount cached"] == "3"
    by_status = re.findall(r"^ ?(HIT|MISS|ERROR|[A-Z]+_\w+) +(\d+) ", done.stdout, re.MULTILINE)
    assert ("TCP_HIT", "3") in by_status
