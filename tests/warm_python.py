"""Commands of pyproxycache as processes of their own, forked from one that has imported all of it.

A start of Python and its imports take most of a second of the processor, which a fork does without.
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

# What a server imports after its start.
_LATER = (
    "gunicorn.app.base",
    "gunicorn.arbiter",
    "gunicorn.http.wsgi",
    "gunicorn.workers.base",
    "email.parser",
)
_LENGTH = 8


class WarmProcess:
    """A forked command, with the part of subprocess.Popen that is needed of it."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; gives the exit status, that of a signal negative."""
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                told = self._status.recv(16)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("pyproxycache", timeout or 0) from None
            self.returncode = int(told or b"-9")
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless its end is known."""
        if self.poll() is None:
            os.kill(self.pid, number)


def start(
    arguments: Sequence[str], environment: Mapping[str, str], streams: tuple[IO[Any], IO[Any], IO[Any]]
) -> WarmProcess:
    """Start `pyproxycache ARGUMENTS` as the leader of a session, with these standard streams."""
    ours, theirs = socket.socketpair()
    with theirs:
        fds = [*(stream.fileno() for stream in streams), theirs.fileno()]
        folder = str(Path.cwd())
        request = {"arguments": list(arguments), "environment": dict(environment), "folder": folder}
        text = json.dumps(request).encode()
        _forker().sendmsg(
            [len(text).to_bytes(_LENGTH, "big")],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))],
        )
        _forker().sendall(text)
    return WarmProcess(int.from_bytes(_exactly(ours, _LENGTH), "big"), ours)


def is_near() -> bool:
    """Whether what this thread starts would see the same network and files as this process."""
    kinds = ("net", "mnt")
    return all(
        Path("/proc/thread-self/ns", kind).readlink() == Path("/proc/self/ns", kind).readlink()
        for kind in kinds
    )


@cache
def _forker() -> socket.socket:
    """The connection to this process's forker, which ends with it."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def end() -> None:
        ours.close()
        process.wait(10)

    atexit.register(end)
    return ours


def _exactly(stream: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = stream.recv(count - len(found))
        if not more:
            raise ConnectionError("the other process has ended")
        found += more
    return found


class _Forker:
    """Forks for each request, and tells of the ends; a child that has ended stays until its starter knows.

    `_ends` has each child's process id and the connection to its starter by the descriptor of the process.
    """

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._selector = selectors.DefaultSelector()
        self._selector.register(stream, selectors.EVENT_READ)
        self._ends: dict[int, tuple[int, socket.socket]] = {}

    def serve(self) -> dict[str, Any] | None:
        """The request in a child; in the forker None, when nobody asks any more."""
        while True:
            for key, _events in self._selector.select():
                if key.fileobj is not self._stream:
                    self._tell(key.fd) if key.fd in self._ends else self._let_go(key)
                    continue
                request = self._received()
                if request is None or "is_child" in request:
                    return request

    def _received(self) -> dict[str, Any] | None:
        length, ancillary, _flags, _address = self._stream.recvmsg(_LENGTH, socket.CMSG_SPACE(16))
        if not length:
            return None
        fds = array.array("i")
        fds.frombytes(ancillary[0][2])
        request: dict[str, Any] = json.loads(_exactly(self._stream, int.from_bytes(length, "big")))
        pid = os.fork()
        if not pid:
            for key in list(self._selector.get_map().values()):
                os.close(key.fd)
            self._selector.close()
            for _pid, starter in self._ends.values():
                starter.close()
            _become(request, fds)
            return {**request, "is_child": True}
        starter = socket.socket(fileno=fds[3])
        starter.sendall(pid.to_bytes(_LENGTH, "big"))
        for fd in fds[:3]:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        self._ends[pidfd] = (pid, starter)
        self._selector.register(pidfd, selectors.EVENT_READ)
        return request

    def _tell(self, pidfd: int) -> None:
        pid, starter = self._ends.pop(pidfd)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        with suppress(OSError):
            starter.send(str(code).encode())
        self._selector.register(starter, selectors.EVENT_READ, pid)

    def _let_go(self, key: selectors.SelectorKey) -> None:
        os.waitpid(key.data, 0)
        self._selector.unregister(key.fileobj)
        assert isinstance(key.fileobj, socket.socket)
        key.fileobj.close()


def _become(request: dict[str, Any], fds: Sequence[int]) -> None:
    os.setsid()
    for standard, fd in enumerate(fds[:3]):
        os.dup2(fd, standard)
    for fd in {*fds}:
        os.close(fd)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["pyproxycache", *request["arguments"]]


def _main() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    command = importlib.import_module("pyproxycache.__main__")
    importlib.import_module("pyproxycache.cli")
    for name in _LATER:
        importlib.import_module(name)
    gc.freeze()
    if _Forker(socket.socket(fileno=int(sys.argv[1]))).serve() is not None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        command.run()


if __name__ == "__main__":
    _main()
