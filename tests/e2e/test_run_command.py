"""`pyproxycache run`: the command's output and end are its own, and its downloads go through the cache."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from commands import Done
from harness import Proxy, clean_environment
from origin import Generated, Origin
from waiting import until

RUN = [sys.executable, "-m", "pyproxycache", "run"]
GET = (
    "import sys, urllib.request as u\n"
    "for url in sys.argv[1:]:\n"
    "    try: sys.stdout.buffer.write(u.urlopen(url).read())\n"
    "    except u.HTTPError as e: print(e.code, e.read().decode())\n"
)
AS_NOBODY = """
import encodings.idna, os, socket, sys
os.setuid(65534)
sock = socket.create_connection(("127.0.0.1", int(os.environ["http_proxy"].rpartition(":")[2])))
try:
    sock.sendall(f"GET {sys.argv[1]} HTTP/1.0\\r\\n\\r\\n".encode())
    print(len(sock.recv(100)))
except OSError:
    print("reset")
"""


@pytest.fixture
def origin() -> Iterator[Origin]:
    """An origin that programs do not take for this machine itself, which they ask directly."""
    with Origin(host="127.0.0.2") as one:
        one.put("/file", b"the file\n", headers=[("Cache-Control", "max-age=600")])
        one.put("/large", Generated(3 << 20), headers=[("Cache-Control", "max-age=600")])
        yield one


class Home:
    """A user's home folder, in which the commands are run."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.environment = clean_environment(
            {"HOME": str(folder), "TMPDIR": str(self.temporary), "XDG_DATA_HOME": "", "XDG_CACHE_HOME": ""}
        )

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        pipes = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **options,
        }
        return subprocess.Popen([*RUN, *arguments], env=self.environment, **pipes)

    def run(self, *arguments: str, text: str = "", **environment: str) -> Done:
        done = subprocess.run(
            [*RUN, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=110,
            env={**self.environment, **environment},
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def get(self, *urls: str, options: tuple[str, ...] = (), **environment: str) -> Done:
        return self.run(*options, "--", sys.executable, "-c", GET, *urls, **environment)

    def left(self) -> list[str]:
        """The folders of runs that are there."""
        return sorted(
            path.name for path in self.temporary.iterdir() if path.name.startswith("pyproxycache")
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_downloads_go_through_the_cache(home: Home, origin: Origin) -> None:
    url = origin.url("/file")
    done = home.get(url)
    assert (done.status, done.stdout) == (0, "the file\n")
    assert done.stderr == "pyproxycache: 1 request, 0 from the cache, 0 B not downloaded\n"
    again = home.get(url, url)
    assert (again.stdout, origin.count("/file")) == ("the file\n" * 2, 1)
    assert again.stderr == "pyproxycache: 2 requests, 2 from the cache, 18 B not downloaded\n"
    assert home.left() == []


LEAVING = """
import os, socket, sys
host, port = os.environ["http_proxy"].split("//")[1].rstrip("/").split(":")
client = socket.create_connection((host, int(port)))
client.sendall(b"GET %b HTTP/1.1\\r\\nHost: o\\r\\n\\r\\n" % sys.argv[1].encode())
client.recv(1)
os._exit(0)
"""


def test_the_last_request_counts_too(home: Home, origin: Origin) -> None:
    """The command may end before the server has said what became of the request."""
    done = home.run("--", sys.executable, "-c", LEAVING, origin.url("/large"))
    assert done.stderr.startswith("pyproxycache: 1 request, ")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 255", 255),
        ("kill -KILL $$", 128 + 9),
        ("kill -INT $$", -signal.SIGINT),  # a shell around it makes 130 of that, and ends its script
    ],
)
def test_the_exit_status_is_the_command_s(home: Home, script: str, status: int) -> None:
    done = home.run("--quiet", "sh", "-c", script)
    assert (done.status, done.stdout, done.stderr) == (status, "", "")


@pytest.mark.parametrize(
    ("command", "status", "text"),
    [
        (["no-such-command"], 127, "no-such-command: there is no such command"),
        (["/etc/passwd"], 126, "/etc/passwd: may not be executed"),
        ([], 2, "Missing argument 'COMMAND...'"),
        (["--server", "x:1", "--report", "r", "true"], 2, "--report needs a server of its own"),
        (["--server", "127.0.0.1:1", "true"], 125, "no cache answers at http://127.0.0.1:1"),
        (["--allow-account", "no-such-user", "true"], 125, "this machine has no user 'no-such-user'"),
        (["--report", "/no/such/folder/r", "true"], 125, "/no/such/folder/r: No such file or directory"),
        (["--cache-dir", "/proc/none", "true"], 125, "/proc/none"),
    ],
)
def test_what_cannot_be_run(home: Home, command: list[str], status: int, text: str) -> None:
    done = home.run(*command)
    assert done.status == status
    assert text in done.stderr
    assert done.stdout == ""
    assert home.left() == []


def test_standard_streams_and_descriptors_pass_through(home: Home) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    script = f"cat; echo wrong >&2; {sys.executable} -c 'import os; os.write({writer}, b\"more\")'"
    running = home.start("--quiet", "--", "sh", "-c", script, stdin=subprocess.PIPE, close_fds=False)
    os.close(writer)
    assert running.communicate(b"in", timeout=110) == (b"in", b"wrong\n")
    with os.fdopen(reader, "rb") as more:
        assert more.read() == b"more"  # and its end: no process of the run has it any more


def test_the_end_is_the_command_s_even_if_nobody_reads_the_line(home: Home) -> None:
    with Path("/dev/full").open("wb") as full, home.start("sh", "-c", "exit 3", stderr=full) as running:
        assert running.wait(60) == 3


def test_a_script_without_an_interpreter_is_the_shell_s(home: Home, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo ran with $1\n")
    (tmp_path / "script").chmod(0o755)
    assert home.run("--quiet", str(tmp_path / "script"), "this").stdout == "ran with this\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on(home: Home, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f'trap "echo got {name}; exit 5" {name}; echo ready; while :; do sleep 0.1; done'
    with home.start("--quiet", "--", "sh", "-c", script) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(number)
        assert running.stdout.read() == f"got {name}\n".encode()
        assert running.wait(60) == 5
    assert home.left() == []


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_server_ends_with_a_run_that_is_killed(home: Home) -> None:
    with home.start("--", "sh", "-c", "echo ready; exec sleep 60") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        server = children(running.pid)[0]
        command = children(running.pid)[1]
        workers = children(server)
        assert (
            os.getsid(server) == server != os.getsid(running.pid)
        )  # no signal of the terminal comes there
        assert os.getpgid(command) == os.getpgid(running.pid)
        running.kill()
        os.kill(command, signal.SIGKILL)
        until(lambda: not any(map(lives, (server, *workers))))
    assert len(home.left()) == 1
    assert home.run("--quiet", "true").status == 0
    assert home.left() == []  # the next run has removed it


def test_a_server_that_is_killed_is_told_of(home: Home, origin: Origin) -> None:
    with home.start("--", "sh", "-c", "echo ready; read line; exit 6", stdin=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        server = children(running.pid)[0]
        os.killpg(server, signal.SIGKILL)
        until(lambda: not lives(server))
        _output, errors = running.communicate(b"\n", timeout=60)
        assert running.returncode == 6
    assert b"the cache ended before the command" in errors


def test_two_runs_at_once_share_one_download(home: Home, origin: Origin) -> None:
    gate = origin.gate("/large", 1 << 20)
    url = origin.url("/large")
    digest = hashlib.sha256(origin_body()).hexdigest()
    script = "import hashlib, sys, urllib.request as u\n"
    script += "print(hashlib.sha256(u.urlopen(sys.argv[1]).read()).hexdigest())"
    both = [home.start("--", sys.executable, "-c", script, url) for _ in range(2)]
    origin.wait_for("/large", timeout=100)
    gate.open()
    for running in both:
        output, errors = running.communicate(timeout=110)
        assert (running.returncode, output.decode()) == (0, f"{digest}\n"), errors
    assert origin.count("/large") == 1


def origin_body() -> bytes:
    body = Generated(3 << 20)
    return body.slice(0, body.size)


def test_offline_and_what_is_missing(home: Home, origin: Origin) -> None:
    origin.put(
        "/stale", b"stale\n", headers=[("Cache-Control", "max-age=0, must-revalidate"), ("ETag", '"1"')]
    )
    stale, missing = origin.url("/stale"), origin.url("/missing")
    home.get(stale)
    origin.stop()
    done = home.get(stale, missing, options=("--offline",))
    assert done.stdout.startswith("stale\n504 ")
    assert f"{missing} is not stored, and this cache is offline" in done.stdout
    assert (
        f"2 requests, 1 from the cache, 6 B not downloaded; 1 failure: {missing} (Offline)" in done.stderr
    )


def test_the_report(home: Home, origin: Origin, tmp_path: Path) -> None:
    origin.put("/not-stored", b"private", headers=[("Cache-Control", "no-store")])
    file, other = origin.url("/file?a=1"), origin.url("/not-stored")
    origin.put("/file?a=1", b"the file\n", headers=[("Cache-Control", "max-age=600")])
    report = tmp_path / "report.json"
    done = home.get(file, file, other, origin.url("/none"), options=("--report", str(report), "--quiet"))
    assert (done.status, done.stderr) == (0, "")
    written = json.loads(report.read_text())
    digest = hashlib.sha256(b"the file\n").hexdigest()
    assert written.pop("command")[1:3] == ["-c", GET]
    assert written == {
        "exit_status": 0,
        "offline": False,
        "requests": 4,
        "from_cache": 1,
        "bytes_saved": 9,
        "downloads": [
            {"url": file, "status": 200, "size": 9, "sha256": digest, "from_cache": False, "requests": 1},
            {"url": file, "status": 200, "size": 9, "sha256": digest, "from_cache": True, "requests": 1},
            {"url": other, "status": 200, "size": 7, "sha256": None, "from_cache": False, "requests": 1},
        ],
        "tunnels": [],
        "failures": [],
    }


def test_a_run_in_a_run_is_as_one_around_it(home: Home, origin: Origin) -> None:
    url = origin.url("/file")
    inner = [*RUN, "--", sys.executable, "-c", GET, url]
    script = "import os, subprocess, sys\nsys.exit(subprocess.run(sys.argv[1:], timeout=110).returncode)"
    done = home.run("--", sys.executable, "-c", script, *inner)
    assert (done.status, done.stdout, origin.count("/file")) == (0, "the file\n", 1)
    assert done.stderr.splitlines() == [
        "pyproxycache: 1 request, 0 from the cache, 0 B not downloaded",
        "pyproxycache: 0 requests, 0 from the cache, 0 B not downloaded",
    ]


def test_the_environment_s_proxy_is_the_parent(home: Home, origin: Origin, tmp_path: Path) -> None:
    with Proxy(tmp_path / "parent", config={"log": {"access": str(tmp_path / "access.log")}}) as parent:
        done = home.get(origin.url("/file"), http_proxy=parent.url)
        assert done.stdout == "the file\n", done.stderr
        until(lambda: origin.url("/file") in (tmp_path / "access.log").read_text())
    done = home.run("true", https_proxy="socks5://127.0.0.1:1080")
    assert (done.status, "the environment's proxy cannot be the parent" in done.stderr) == (125, True)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"what_is_newer: yes\n", "what_is_newer"),
        (b"]", "expected <block end>"),
    ],
)
def test_beside_a_server_whose_configuration_cannot_be_read(
    home: Home, origin: Origin, tmp_path: Path, more: bytes, why: str
) -> None:
    cache = tmp_path / ".cache" / "pyproxycache"
    with Proxy(tmp_path / "server", cache_dir=cache):
        (file,) = cache.glob("running-*.yaml")
        with file.open("ab") as opened:
            opened.write(more)
        done = home.get(origin.url("/file"))
        assert (done.status, done.stdout) == (0, "the file\n"), done.stderr
        first, *_between, told, last = done.stderr.splitlines()
        assert first.startswith("pyproxycache: the running server")
        assert why in first
        assert "so the defaults count for this command" in told
        assert "1 request, 0 from the cache" in last
        with subprocess.Popen(
            [sys.executable, "-m", "pyproxycache", "env"], env=home.environment, stderr=subprocess.PIPE
        ) as env:
            _out, errors = env.communicate(timeout=60)
        assert (env.returncode, why in errors.decode()) == (1, True), errors


def test_beside_a_server_its_configuration_counts(home: Home, origin: Origin, tmp_path: Path) -> None:
    """What the command was worth is told, also if a server runs on the cache folder already."""
    origin.put("/undated", b"undated\n", headers=[("Cache-Control", "max-age=0")])
    with Origin() as admin_port:
        admin = f"127.0.0.1:{admin_port.port}"  # free once it is closed
    config = {"rules": [{"match": {"path": "^/undated$"}, "fresh": "1h"}], "admin": {"listen": admin}}
    cache = tmp_path / ".cache" / "pyproxycache"
    with Proxy(tmp_path / "server", config=config, cache_dir=cache):
        done = home.get(origin.url("/undated"), origin.url("/undated"))
        assert done.stderr == "pyproxycache: 2 requests, 1 from the cache, 8 B not downloaded\n"
        report = tmp_path / "report.json"
        done = home.get(origin.url("/undated"), options=("--report", str(report)))
        assert done.stderr == "pyproxycache: 1 request, 1 from the cache, 8 B not downloaded\n"
        assert [one["from_cache"] for one in json.loads(report.read_text())["downloads"]] == [True]
    own = tmp_path / "own.yaml"
    own.write_text(f"admin: {{listen: '{admin}'}}\nroutes: {{/: {{upstream: '{origin.url('')}'}}}}\n")
    done = home.get(origin.url("/file"), options=("-c", str(own)))
    assert (done.stdout, origin.count("/undated")) == ("the file\n", 1), done.stderr


def test_a_server_that_is_named(home: Home, origin: Origin, tmp_path: Path) -> None:
    with Proxy(tmp_path / "server") as server:
        done = home.get(origin.url("/file"), options=("--server", server.url))
        assert done.stdout == "the file\n"
        assert f"in the log of the server at {server.url}, which intercepts nothing" in done.stderr
        done = home.get(origin.url("/file"), options=("--private",), PYPROXYCACHE_PROXY=server.url)
        assert "1 request, 0 from the cache" in done.stderr
    assert origin.count("/file") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start programs of other users")
def test_programs_of_other_users_get_nothing(home: Home, origin: Origin) -> None:
    command = (sys.executable, "-c", AS_NOBODY, origin.url("/file"))
    done = home.run("--", *command)
    assert done.stdout in ("0\n", "reset\n")
    assert (
        "pyproxycache: a connection of the user nobody (65534) is refused (allow_accounts)" in done.stderr
    )
    assert home.run("--allow-account", "nobody", "--", *command).stdout == "100\n"


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory, mounted there."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize(
    "options",
    ["size=4k", "size=64k", "size=4400k", "nr_inodes=1", "nr_inodes=5"],
)
def test_where_there_is_no_room_to_begin(home: Home, origin: Origin, tmp_path: Path, options: str) -> None:
    """The command runs, and is told why nothing is stored; a server does not start, and says what to do."""
    report = tmp_path / "report.json"
    with disk(tmp_path / "disk", options) as full:
        cache = ("--cache-dir", str(full / "cache"))
        done = home.get(origin.url("/file"), origin.url("/file"), options=(*cache, "--report", str(report)))
        assert (done.status, done.stdout) == (0, "the file\n" * 2), done.stderr
        first, *_others, last = done.stderr.splitlines()
        assert first.startswith("pyproxycache: there is no store, and requests are passed on: ")
        assert first.endswith((str(full / "cache"), "is full", "No space left on device"))
        assert last == "pyproxycache: 2 requests, 0 from the cache, 0 B not downloaded"
        assert json.loads(report.read_text())["downloads"][0]["sha256"] is None
        serve = [*RUN[:-1], "serve", *cache, "--listen", f"unix:{tmp_path}/socket"]
        served = subprocess.run(
            serve, env=home.environment, capture_output=True, text=True, timeout=110, check=False
        )
        assert served.returncode == 2
        assert re.fullmatch(
            rf"pyproxycache: .*{full}/cache.*\n"
            rf"pyproxycache: the disk of {full}/cache is full: .* free, and an empty cache needs 6\.0 MiB; "
            r"make room there, or name another folder with --cache-dir or store\.path\n",
            served.stderr,
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_where_the_home_folder_has_no_room(home: Home, origin: Origin, tmp_path: Path) -> None:
    """An authority of the run alone does as well; what cannot be written is said in words."""
    with disk(tmp_path / "disk", "nr_inodes=1") as full:
        report = str(full / "report")
        options = ("--cache-dir", str(tmp_path / "cache"))
        done = home.get(origin.url("/file"), options=options, HOME=str(full))
        assert (done.status, done.stdout) == (0, "the file\n"), done.stderr
        assert done.stderr == "pyproxycache: 1 request, 0 from the cache, 0 B not downloaded\n"
        done = home.run("--report", report, "--", "true")
        assert done.status == 125
        assert done.stderr == f"pyproxycache: the command was not run: {report}: No space left on device\n"
    with disk(tmp_path / "disk-2", "size=4k") as full:
        (full / "other").write_bytes(bytes(4096))
        done = home.run("--report", str(full / "report"), "--", "true")
        assert done.status == 0
        told = f"pyproxycache: {full}/report: the report is not written: No space left on device"
        assert told in done.stderr.splitlines()
    config = tmp_path / "config.yaml"
    config.write_text("intercept: {ca: /proc/none}\n")
    assert home.run("-c", str(config), "--", "true").status == 125  # what is configured has to be there


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_on_a_full_disk_the_command_runs(home: Home, origin: Origin, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=80m") as full:
        cache = ("--cache-dir", str(full / "cache"))
        assert home.get(origin.url("/file"), options=cache).status == 0
        with tempfile.NamedTemporaryFile(dir=full) as filling:
            with suppress(OSError):
                while True:
                    filling.write(bytes(1 << 16))
            urls = [origin.url("/file"), origin.url("/large")]
            running = home.start(*cache, "--", sys.executable, "-c", GET, *urls)
            output, errors = running.communicate(timeout=110)
            assert (running.returncode, output == b"the file\n" + origin_body()) == (0, True), errors
