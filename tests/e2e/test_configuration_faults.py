"""A configuration that is wrong, or names what cannot be had: at the start, and on a reload."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Proxy, clean_environment
from origin import Origin
from waiting import until

MakeProxy = Callable[..., Proxy]

WRONG_USAGE = 2
STAYS = "the configuration stays as it was: "


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


FAULTS = [
    ("listen: 192.0.2.1:5000", "cannot listen on 192.0.2.1:5000: Cannot assign requested address"),
    ("listen: TAKEN", "cannot listen on TAKEN: Address already in use"),
    ("listen: [OURS, TAKEN]", "cannot listen on TAKEN: Address already in use"),
    ("listen: [TAKEN, 'no-such-host.invalid:1']", "cannot listen on no-such-host.invalid:1: "),
    ("listen: unix:/nonexistent/x.sock", "cannot listen on unix:/nonexistent/x.sock: No such file"),
    ("listen: unix:FILE", "cannot listen on unix:FILE: 'FILE' is not a socket"),
    ("listen: unix:SOCKET", "cannot listen on unix:SOCKET: Address already in use"),
    ("log: {access: /nonexistent/a.log}", "log.access: /nonexistent/a.log: No such file or directory"),
    ("fetch: {ca_file: FILE}", "fetch.ca_file: FILE: has no certificate in PEM form"),
    ("fetch: {tls: [{hosts: a, ca_file: FILE}]}", "fetch.tls[0].ca_file: FILE: has no certificate in PEM"),
    ("fetch: {ca_file: /nonexistent}", "fetch.ca_file: /nonexistent: No such file or directory"),
    ("store: {path: FILE/cache}", "cannot use the cache folder FILE/cache: Not a directory"),
    ("store: {path: FILE}", "cannot use the cache folder FILE: it is not a folder"),
    ("store: {path: STRANGE}", "STRANGE/index.sqlite"),
    ("allow: nowhere", "allow: 'nowhere' is not"),
    ("workers: [", ", line "),
    ("colour: blue", "colour: unknown key"),
]


@pytest.fixture
def filled_in(tmp_path: Path, taken: str) -> Iterator[Callable[..., str]]:
    """The text with the names that are true here."""
    file = tmp_path / "file"
    file.write_text("nothing of use")
    later = tmp_path / "strange"
    later.mkdir()
    (later / "index.sqlite").mkdir()
    names = {"TAKEN": taken, "FILE": str(file), "STRANGE": str(later), "SOCKET": str(tmp_path / "socket")}

    def fill(text: str, ours: str = "") -> str:
        for name, value in (names | {"OURS": ours}).items():
            text = text.replace(name, value)
        return text

    with socket.socket(socket.AF_UNIX) as others:
        others.bind(names["SOCKET"])
        others.listen()
        yield fill
    assert (tmp_path / "socket").exists()


def test_a_reload_that_fails_changes_nothing(
    make_proxy: MakeProxy, origin: Origin, filled_in: Callable[..., str]
) -> None:
    """Workers, listeners and settings stay; each fault is in the log by its name."""
    origin.put("/a", b"body", cache_control="max-age=60")
    proxy = make_proxy(workers=2, config="")
    proxy.command[-8:-4] = []  # the file says where it listens, and where the cache is
    proxy.terminate()
    listen, store = f"listen: '{proxy.netloc}'\n", f"store: {{path: {proxy.cache_dir}}}\n"
    proxy.configure(listen + store)
    proxy.start()
    until(lambda: len(proxy.worker_pids()) == 2)
    workers = proxy.worker_pids()
    for number, (text, message) in enumerate(FAULTS, start=1):
        others = [line for line in (listen, store) if not line.startswith(text[:6])]
        proxy.configure(f"{''.join(others)}{filled_in(text, proxy.netloc)}\n")
        proxy.reload()
        until(lambda number=number: proxy.log().count("Handling signal: hup") >= number)  # type: ignore[misc]
        until(lambda message=message: STAYS in proxy.log() and filled_in(message) in proxy.log())  # type: ignore[misc]
        assert proxy.get(origin.url("/a")).body == b"body"
        assert proxy.worker_pids() == workers
    assert "Traceback" not in proxy.log()
    proxy.configure(f"{listen}{store}allow: 192.0.2.0/24")
    proxy.reload()
    until(lambda: proxy.get(origin.url("/a")).status == 403)
    assert proxy.log().count("the configuration was read again and is in force") == 1
    assert proxy.terminate() == 0


def test_addresses_come_and_go_with_a_reload(make_proxy: MakeProxy, origin: Origin, tmp_path: Path) -> None:
    origin.put("/a", b"body", cache_control="max-age=60")
    proxy = make_proxy(config="")
    proxy.command[-8:-6] = []
    proxy.terminate()
    proxy.configure(f"listen: '{proxy.netloc}'\n")
    proxy.start()
    path = tmp_path / "s"
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        further = reserved.getsockname()
        proxy.configure(f"listen: ['{proxy.netloc}', '127.0.0.1:{further[1]}', 'unix:{path}']")
        proxy.reload()
        until(lambda: path.exists() and can_connect(further))
        assert proxy.get(origin.url("/a")).status == 200
        proxy.configure(f"listen: '{proxy.netloc}'\n")
        proxy.reload()
        until(lambda: not path.exists() and not can_connect(further))
        assert proxy.get(origin.url("/a")).status == 200


@pytest.mark.parametrize("other", [None, b"somebody's"], ids=["gone", "another file"])
def test_a_unix_socket_whose_file_is_gone_ends_in_peace(
    make_proxy: MakeProxy, tmp_path: Path, other: bytes | None
) -> None:
    path = tmp_path / "p.sock"
    proxy = make_proxy(config="")
    proxy.command[-8:-6] = []
    proxy.terminate()
    proxy.configure(f"listen: ['{proxy.netloc}', 'unix:{path}']")
    proxy.start()

    def take_its_name() -> None:
        until(path.is_socket)
        path.unlink()
        if other is not None:
            path.write_bytes(other)

    take_its_name()
    proxy.configure(f"listen: '{proxy.netloc}'\n")
    proxy.reload()
    until(lambda: proxy.log().count("in force") == 1)
    assert (path.read_bytes() if path.exists() else None) == other
    path.unlink(missing_ok=True)
    proxy.configure(f"listen: ['{proxy.netloc}', 'unix:{path}']")
    proxy.reload()
    take_its_name()
    assert proxy.terminate() in (0, -signal.SIGTERM)
    assert (path.read_bytes() if path.exists() else None) == other
    assert "Traceback" not in proxy.log()


def can_connect(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 1.0).close()
    except OSError:
        return False
    return True


def serve(tmp_path: Path, config: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A start that is expected to fail."""
    file = tmp_path / "config.yaml"
    file.write_text(config)
    return subprocess.run(
        [sys.executable, "-m", "pyproxycache", "serve", "-c", str(file)],
        env=clean_environment({"XDG_CACHE_HOME": str(tmp_path), **variables}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [fault for fault in FAULTS if "OURS" not in fault[0]],
    ids=lambda value: value if ": " in value else None,
)
def test_a_start_that_fails_says_why(
    tmp_path: Path, filled_in: Callable[..., str], text: str, message: str
) -> None:
    section = filled_in(text)
    listen = "" if text.startswith("listen") else f"listen: unix:{tmp_path}/s\n"
    done = serve(tmp_path, listen + section)
    assert done.returncode == WRONG_USAGE
    assert filled_in(message) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_start_tells_all_that_is_wrong_at_once(tmp_path: Path, filled_in: Callable[..., str]) -> None:
    text = filled_in(
        "listen: [TAKEN, 192.0.2.1:1]\nlog: {access: /nonexistent/a}\nfetch: {ca_file: /nonexistent}\n"
        "store: {path: FILE/cache}"
    )
    done = serve(tmp_path, text)
    assert done.returncode == WRONG_USAGE
    lines = done.stderr.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("pyproxycache: ") for line in lines)


def test_variables_that_nobody_reads_are_named(tmp_path: Path) -> None:
    done = serve(
        tmp_path, "workers: x", PYPROXYCACHE_LISTN="x", PYPROXYCACHE_SERVICE_HOST="10.0.0.1"
    ).stderr.splitlines()
    assert len(done) == 3
    assert "PYPROXYCACHE_LISTN is not known, and sets nothing; did you mean PYPROXYCACHE_LISTEN" in done[0]
    assert "PYPROXYCACHE_SERVICE_HOST is not known" in done[1]


def test_errors_name_the_flag_or_the_variable_that_was_wrong(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyproxycache", "serve", "--listen", "a", "--workers", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(
            {
                "PYPROXYCACHE_LISTEN": "b",
                "PYPROXYCACHE_THREADS": "many",
                "PYPROXYCACHE_MAX_SIZE": "1x",
                "PYPROXYCACHE_UPSTREAM": "ftp://h",
                "PYPROXYCACHE_CACHE_DIR": str(tmp_path),
            }
        ),
    )
    assert done.returncode == WRONG_USAGE
    assert sorted(line.split(": ")[1] for line in done.stderr.splitlines()) == [
        "--listen",
        "--workers",
        "PYPROXYCACHE_MAX_SIZE",
        "PYPROXYCACHE_THREADS",
        "PYPROXYCACHE_UPSTREAM",
    ]


def test_a_bad_file_on_a_reload_restarts_nothing(make_proxy: MakeProxy) -> None:
    proxy = make_proxy(config="")
    workers = proxy.worker_pids()
    proxy.configure("memory: many\nallow: nowhere\n")
    proxy.reload()
    until(lambda: proxy.log().count(STAYS) == 2)
    assert proxy.worker_pids() == workers
    assert proxy.terminate() in (0, -signal.SIGTERM)
