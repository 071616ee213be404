"""The real server as a process group of its own, and what can be seen of it from outside."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import warm_python
import yaml
from load import Address, Download, Load, LoadProcess
from readable import is_readable
from warm_python import WarmProcess

__all__ = [
    "Address",
    "Download",
    "Load",
    "LoadProcess",
    "Proxy",
    "Reply",
    "clean_environment",
    "fetch",
]

_COMMAND = [sys.executable, "-m", "pyproxycache", "serve"]
REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Reply:
    """A whole response. `complete`: its body ended as the framing promised; `error` says why it did not."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    complete: bool
    error: str | None

    def get(self, name: str) -> str | None:
        lines = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(lines) if lines else None


def fetch(
    proxy: Address | None,
    url: str,
    headers: Iterable[tuple[str, str]] = (),
    method: str = "GET",
    body: bytes = b"",
    timeout: float = 30.0,
) -> Reply:
    """One request on its own connection; OSError where no head comes, a broken body is in the Reply."""
    received = bytearray()
    error = None
    with Download(proxy, url, headers, method, body, timeout=timeout) as download:
        download.read_head()
        try:
            for piece in download.pieces():
                received += piece
        except (OSError, ValueError) as failure:
            error = f"{type(failure).__name__}: {failure}"
    fields = tuple(download.headers)
    return Reply(download.status, download.reason, fields, bytes(received), download.complete, error)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without proxy settings or the server's own variables."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("PYPROXYCACHE_")
    }
    path = os.pathsep.join(filter(None, (str(REPOSITORY), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, **(extra or {})}


def _of_the_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that Python, or the loader of programs, reads when it starts."""
    return {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LD_"))}


class Proxy:
    """`pyproxycache serve` on a port and a cache folder that stay the same over restarts.

    `folder` takes the cache, the configuration and the log. `config` is YAML text or what is dumped to it;
    `arguments` go behind the others, `environment` over this process's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 1,
        threads: int = 16,
        config: str | Mapping[str, Any] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        cache_dir: Path | None = None,
        ready: float = 20.0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.cache_dir = cache_dir or folder / "cache"
        self.log_file = folder / "proxy.log"
        self.config_file = folder / "config.yaml"
        self.ready = ready
        self._workers = workers
        self.environment = clean_environment(environment)
        self._process: subprocess.Popen[bytes] | WarmProcess | None = None
        self._downloads: list[Download] = []
        # Bound and never listening: the number stays ours between restarts, and the server can take it.
        self._reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((host, 0))
        self.address: Address = (host, self._reserved.getsockname()[1])
        self.command = [*_COMMAND]
        self.configure({} if config is None else config)
        self.command += ["-c", str(self.config_file)]
        self.command += ["--listen", self.netloc, "--cache-dir", str(self.cache_dir)]
        self.command += ["--workers", str(workers), "--threads", str(threads), *arguments]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def netloc(self) -> str:
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def url(self) -> str:
        return f"http://{self.netloc}"

    @property
    def pid(self) -> int:
        """The master's process id, which is the process group's too."""
        assert self._process is not None, "the proxy is not running"
        return self._process.pid

    def configure(self, config: str | Mapping[str, Any]) -> None:
        """Writes the configuration file; a running server sees it at SIGHUP.

        Where `config` is no text and says nothing else, no room is left free on the disk: how full the
        machine's disk is is not the tests' business.
        """
        if not isinstance(config, str):
            config = yaml.safe_dump({**config, "store": {"reserve": 0, **config.get("store", {})}})
        self.config_file.write_text(config)

    def start(self) -> Self:
        """Starts it and waits until it accepts and has its workers, if it gets any.

        RuntimeError with the log if it ends or takes too long.
        """
        assert self._process is None, "the proxy runs already"
        with self.log_file.open("ab") as log:
            self._process = self._begun(log)
        for _attempt in range(int(self.ready / 0.05)):
            if self._accepts():
                self._wait_for_workers()
                return self
            try:
                self._process.wait(0.05)
                break
            except subprocess.TimeoutExpired:
                continue
        status = self._process.poll()
        self.kill9()
        raise RuntimeError(f"{' '.join(self.command)}: does not accept (status {status})\n{self.log()}")

    def _wait_for_workers(self) -> None:
        """The master accepts before its first worker is there; what cannot work has none that last."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            try:
                if len(children.read_text().split()) >= self._workers:
                    return
            except FileNotFoundError:  # it has ended, or this kernel does not tell
                return
            time.sleep(0.002)

    def _begun(self, log: IO[bytes]) -> subprocess.Popen[bytes] | WarmProcess:
        """Its process: a fork, unless something is to be different from the start of Python on."""
        plain, usual = _of_the_interpreter(self.environment), _of_the_interpreter(clean_environment())
        if self.command[: len(_COMMAND)] == _COMMAND and plain == usual and warm_python.is_near():
            with Path(os.devnull).open() as nothing:
                return warm_python.start(self.command[3:], self.environment, (nothing, log, log))
        return subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=self.environment,
            start_new_session=True,
        )

    def restart(self) -> Self:
        """Ends it by SIGTERM, unless it ended already, and starts it again."""
        if self._process is not None:
            self.terminate()
        return self.start()

    def terminate(self, timeout: float = 40.0) -> int:
        """SIGTERM to the master; returns its exit status. TimeoutError where anything had to be killed."""
        assert self._process is not None
        gone = _Exits(self.group())
        self._process.send_signal(signal.SIGTERM)
        left = gone.wait(timeout)
        process = self._process
        self.kill9()
        if left:
            raise TimeoutError(f"still running {timeout} s after SIGTERM: {left}\n{self.log()}")
        return process.returncode

    def kill9(self) -> None:
        """SIGKILL to the whole group at once; returns when all of it is gone."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended by itself
        gone = _Exits(self.group())  # after the signal: none of them can fork any more
        self._process.wait(10.0)
        self._process = None
        if left := gone.wait(10.0):
            raise TimeoutError(f"still there after SIGKILL: {left}")

    def kill_worker(self, pid: int) -> None:
        """SIGKILL to one worker; returns when it is gone."""
        gone = _Exits([pid])
        os.kill(pid, signal.SIGKILL)
        if gone.wait(10.0):
            raise TimeoutError(f"worker {pid} is still there after SIGKILL")

    def reload(self) -> None:
        """SIGHUP to the master."""
        os.kill(self.pid, signal.SIGHUP)

    def close(self) -> None:
        """Leaves nothing running and gives the port back."""
        self.kill9()
        for download in self._downloads:
            download.close()
        self._reserved.close()

    def worker_pids(self) -> list[int]:
        """The master's children, oldest first."""
        return sorted(pid for pid, parent, _group in _processes() if parent == self.pid)

    def group(self) -> list[int]:
        """Every process of the group that has not ended, master and workers."""
        return sorted(pid for pid, _parent, group in _processes() if group == self.pid)

    def connections(self, pid: int) -> int:
        """How many client connections this worker holds."""
        port = f":{self.address[1]:04X}"
        held = set()
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                held.add(str(entry.readlink()))
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(
            row[1].endswith(port) and row[3] == "01" and f"socket:[{row[9]}]" in held for row in rows
        )

    def rss(self, pid: int) -> int:
        """Bytes of anonymous memory: what the process itself holds, without mapped files."""
        return _status(pid, "RssAnon")

    def peak(self, pid: int) -> int:
        """The highest resident size (bytes, mapped files included) since the start or reset_peak()."""
        return _status(pid, "VmHWM")

    def reset_peak(self, pid: int) -> int:
        """Sets the peak to the present resident size, and returns that (bytes)."""
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        return self.peak(pid)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def get(self, url: str, headers: Iterable[tuple[str, str]] = (), **options: Any) -> Reply:
        """A request to the proxy; the URL goes into the request line as it is, absolute or a path."""
        return fetch(self.address, url, headers, **options)

    def download(self, url: str, headers: Iterable[tuple[str, str]] = (), **options: Any) -> Download:
        """A download through the proxy, yet to be begun by open(), run() or start()."""
        download = Download(self.address, url, headers, **options)
        self._downloads.append(download)
        return download

    def load(self, urls: Sequence[str], clients: int, **options: Any) -> LoadProcess:
        """Many downloads at once through the proxy, from their own process; options as LoadProcess's."""
        return LoadProcess(self.address, urls, clients, **options)

    def _accepts(self) -> bool:
        try:
            socket.create_connection(self.address, 1.0).close()
        except OSError:
            return False
        return True


class _Exits:
    """Watches processes by descriptor, which tells of their end even where nobody reaps them."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._open: dict[int, int] = {}
        for pid in pids:
            try:
                self._open[os.pidfd_open(pid)] = pid
            except ProcessLookupError:
                continue  # gone already

    def wait(self, timeout: float) -> list[int]:
        """Waits so many seconds in all for each to end; returns those that did not."""
        left = []
        for descriptor, pid in self._open.items():
            ended = is_readable(descriptor, timeout)
            os.close(descriptor)
            if not ended:
                left.append(pid)
                timeout = 0.0
        self._open.clear()
        return left


def _processes() -> Iterable[tuple[int, int, int]]:
    """Process id, parent and group of every process that has not ended."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended between the listing and the reading
        # The name stands in parentheses and may hold anything, so the fields count from the last of them.
        state, parent, group = text.rpartition(")")[2].split()[:3]
        pid = int(text.partition(" ")[0])
        # A zombie whose threads have not all ended still has its files and sockets open.
        if state not in "ZX" or len(_threads(pid)) > 1:
            yield pid, int(parent), int(group)


def _threads(pid: int) -> list[str]:
    try:
        return [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _status(pid: int, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) << 10
