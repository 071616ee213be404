"""The store breaks while requests run: each is answered rightly, and soon things are kept again."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from harness import Proxy, clean_environment, fetch
from origin import Origin
from waiting import until

Repair = Callable[[], None]

# What root may do in spite of a mode is what is tried here.
AS_ANY_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]

needs_setpriv = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="setpriv is not installed"
)


def body_of(path: str) -> bytes:
    return f"the body of {path}, ".encode() * (100 if path.startswith("/small") else 20_000)


PATHS = ["/small/1", "/small/2", "/large/1", "/large/2"]


class Clients:
    """Ask for what is stored and for what is not, until `stop`; `wrong` has what was not right."""

    def __init__(self, proxy: Proxy, origin: Origin) -> None:
        self._proxy, self._origin = proxy, origin
        self._stopped = threading.Event()
        self.wrong: list[str] = []
        self.answers = 0
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(3)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        turn = 0
        while not self._stopped.is_set():
            turn += 1
            new = f"/small/new-{number}-{turn}"
            if turn % 4 == 0:
                self._origin.put(new, body_of(new), cache_control="max-age=3600")
            path = new if turn % 4 == 0 else PATHS[(number + turn) % len(PATHS)]
            self._ask(path, first=(turn % 3) * 1000)

    def _ask(self, path: str, first: int) -> None:
        """All of it, or what is there from the `first` byte on."""
        fields = [("Range", f"bytes={first}-")] if first else []
        try:
            reply = fetch(self._proxy.address, self._origin.url(path), fields, timeout=30)
        except OSError as error:
            self.wrong.append(f"{path}: {error!r}")
            return
        self.answers += 1
        if reply.status != (206 if first else 200) or reply.body != body_of(path)[first:]:
            self.wrong.append(f"{path} {first}: {reply.status} {reply.body[:60]!r} {reply.error}")

    def wait_for(self, count: int) -> None:
        """Until so many more answers have come."""
        goal = self.answers + count
        until(lambda: self.answers >= goal)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)


def is_kept(proxy: Proxy, origin: Origin, path: str) -> bool:
    """Whether a second request is answered out of the store."""
    fetch(proxy.address, origin.url(path))
    reply = fetch(proxy.address, origin.url(path))
    return "; hit" in (reply.get("cache-status") or "")


def nothing() -> None:
    """The cache mends it by itself."""


def removed(folder: Path) -> Repair:
    gone = folder.rename(folder.with_name("gone"))
    shutil.rmtree(gone, ignore_errors=True)
    return nothing


def index_removed(folder: Path) -> Repair:
    (folder / "index.sqlite").unlink()
    return nothing


def bodies_removed(folder: Path) -> Repair:
    shutil.rmtree(folder / "blobs", ignore_errors=True)
    return nothing


def bodies_unreadable(folder: Path) -> Repair:
    """Each by itself, with an error of the system's."""
    for path in list((folder / "blobs").rglob("*")):
        if path.is_file():
            path.unlink(missing_ok=True)
            path.symlink_to(path)
    return nothing


def growing_removed(folder: Path) -> Repair:
    shutil.rmtree(folder / "partial", ignore_errors=True)
    return nothing


def truncated(folder: Path) -> Repair:
    os.truncate(folder / "index.sqlite", 5000)
    return nothing


def emptied(folder: Path) -> Repair:
    os.truncate(folder / "index.sqlite", 0)
    return nothing


def overwritten(folder: Path) -> Repair:
    for name in ("index.sqlite", "index.sqlite-wal"):
        with (folder / name).open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            file.write(os.urandom(size))
    return nothing


def closed_to_us(*names: str) -> Callable[[Path], Repair]:
    """The folder, or one below it, can be neither read nor written."""

    def close(folder: Path) -> Repair:
        path = folder.joinpath(*names)
        path.chmod(0)
        return lambda: path.chmod(0o700)

    close.__name__ = "-".join(["closed", *names])
    return close


def locked_by_flock(folder: Path) -> Repair:
    fd = os.open(folder / "index.lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return lambda: os.close(fd)


def locked_by_sqlite(folder: Path) -> Repair:
    other = sqlite3.connect(
        folder / "index.sqlite", isolation_level=None, check_same_thread=False, timeout=60
    )
    other.execute("BEGIN EXCLUSIVE")

    def repair() -> None:
        other.execute("ROLLBACK")
        other.close()

    return repair


FAULTS = [
    removed,
    index_removed,
    bodies_removed,
    bodies_unreadable,
    growing_removed,
    truncated,
    emptied,
    overwritten,
    closed_to_us(),
    closed_to_us("blobs"),
    closed_to_us("partial"),
    locked_by_flock,
    locked_by_sqlite,
]


@needs_setpriv
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_store_that_breaks_costs_no_request(
    tmp_path: Path, origin: Origin, fault: Callable[[Path], Repair]
) -> None:
    for path in PATHS:
        origin.put(path, body_of(path), cache_control="max-age=3600")
    proxy = Proxy(tmp_path / "proxy", workers=2, config={"memory": 0})
    if os.geteuid() == 0:
        proxy.command[:0] = AS_ANY_USER
    with closing(proxy.start()):
        for path in PATHS:
            until(lambda path=path: is_kept(proxy, origin, path))  # type: ignore[misc]
        clients = Clients(proxy, origin)
        try:
            clients.wait_for(20)
            repair = fault(proxy.cache_dir)
            try:
                clients.wait_for(60)
            finally:
                repair()
            for number in range(2):
                origin.put(f"/after/{number}", body_of("/after"), cache_control="max-age=3600")
                until(lambda number=number: is_kept(proxy, origin, f"/after/{number}"))  # type: ignore[misc]
            clients.wait_for(20)
        finally:
            clients.stop()
        assert clients.wrong == []
        assert "Traceback" not in proxy.log()
        proxy.terminate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
@pytest.mark.parametrize("is_restarted", [False, True], ids=["running", "begun-so"])
def test_a_folder_that_becomes_read_only(tmp_path: Path, origin: Origin, is_restarted: bool) -> None:
    """As the kernel does with a file system that has errors; here by a mount of the server's own."""
    for path in PATHS:
        origin.put(path, body_of(path), cache_control="max-age=3600")
    proxy = Proxy(tmp_path / "proxy", workers=1, config={"memory": 0})
    proxy.command[:0] = ["unshare", "--mount", "--propagation", "private"]
    folder = str(proxy.cache_dir)

    def mount(*arguments: str) -> None:
        within = ["nsenter", "--mount", "--target", str(proxy.pid)]
        done = subprocess.run([*within, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr}")

    with closing(proxy.start()):
        for path in PATHS:
            until(lambda path=path: is_kept(proxy, origin, path))  # type: ignore[misc]
        mount("mount", "--bind", folder, folder)
        mount("mount", "-o", "remount,bind,ro", folder)
        if is_restarted:
            proxy.kill_worker(proxy.worker_pids()[0])
        clients = Clients(proxy, origin)
        clients.wait_for(60)
        clients.stop()
        assert clients.wrong == []
        mount("mount", "-o", "remount,bind,rw", folder)
        origin.put("/after", body_of("/after"), cache_control="max-age=3600")
        until(lambda: is_kept(proxy, origin, "/after"))
        assert "Traceback" not in proxy.log()


@needs_setpriv
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_command_told_of_another_users_folder(tmp_path: Path) -> None:
    user = pwd.getpwnam("nobody")
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    os.chown(folder, user.pw_uid, user.pw_gid)
    command = [*AS_ANY_USER, sys.executable, "-m", "pyproxycache", "ls", "--cache-dir", str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    assert told.returncode == 1
    assert "Permission denied; run the command as the server's user, perhaps nobody" in told.stderr


@needs_setpriv
@pytest.mark.parametrize(
    "fault", [closed_to_us(), locked_by_sqlite, locked_by_flock], ids=lambda fault: fault.__name__
)
def test_workers_that_begin_without_a_store_pass_requests_on(
    tmp_path: Path, origin: Origin, fault: Callable[[Path], Repair]
) -> None:
    origin.put("/small/1", body_of("/small/1"), cache_control="max-age=3600")
    proxy = Proxy(tmp_path / "proxy", workers=1, config={"memory": 0})
    if os.geteuid() == 0:
        proxy.command[:0] = AS_ANY_USER
    with closing(proxy.start()):
        until(lambda: is_kept(proxy, origin, "/small/1"))
        repair = fault(proxy.cache_dir)
        try:
            proxy.kill_worker(proxy.worker_pids()[0])
            for method in ("GET", "POST"):
                reply = fetch(proxy.address, origin.url("/small/1"), method=method, timeout=60)
                assert (reply.status, reply.body) == (200, body_of("/small/1"))
            assert "detail=store-failed" in (reply.get("cache-status") or "")
            assert "requests are passed on" in proxy.log()
            command = proxy.command[: proxy.command.index("serve")]
            options = ["stats", "--cache-dir", str(proxy.cache_dir)]
            told = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
            assert told.returncode == 1
            assert "passes requests on, and keeps nothing" in told.stderr
            assert "Traceback" not in told.stderr
        finally:
            repair()
        until(lambda: is_kept(proxy, origin, "/small/1"))
        assert "Traceback" not in proxy.log()
