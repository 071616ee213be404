"""The command `serve`: where it listens, how it ends, and how it takes a new configuration."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import PROBLEMS, WRONG_USAGE, call, reload, run
from harness import Proxy, clean_environment
from origin import Origin
from readable import is_readable
from waiting import until


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
        assert is_readable(end, 5.0)
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
            assert is_readable(end, 10.0)
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
