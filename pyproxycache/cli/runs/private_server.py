"""A server for one run: a child of this process with a session of its own, which ends with it."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn, Self

from pyproxycache.configuration.config import Config
from pyproxycache.errors import ConfigError
from pyproxycache.wiring.server import build_server

_PR_SET_PDEATHSIG = 1
_FIRST_ACTIVATED = 3  # where a service manager's sockets begin
_READY_FD = _FIRST_ACTIVATED + 1
_FAR = 16
_STOP_SECONDS = 10.0
_MOST_IN_PIPE = 1 << 20


class PrivateServer:
    """A running server on the listening socket, whose records of requests are lines in `records`.

    A context: it ends with that, and by the kernel when this process ends in any other way.
    """

    def __init__(self, config: Config, listener: socket.socket, log: Path) -> None:
        """Start it; returns when it accepts connections. Raises ConfigError with what it has logged.

        `log` is the file that gets its log, and whatever else it writes to standard error.
        """
        self._log = log
        self._ended_early = False
        records, records_out = os.pipe()
        self.records = os.fdopen(records, "rb")
        with contextlib.suppress(OSError):  # so that it seldom has to wait while this process is stopped
            fcntl.fcntl(records_out, fcntl.F_SETPIPE_SZ, _MOST_IN_PIPE)
        ready, ready_out = os.pipe()
        errors = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            _serve(config, parent, (records_out, errors, listener.fileno(), ready_out))
        for fd in (records_out, ready_out, errors):
            os.close(fd)
        listener.close()
        is_ready = bool(os.read(ready, 1))
        os.close(ready)
        if not is_ready:
            self._stop()
            self.records.close()
            raise ConfigError(self.logged() or "the server for this run ended at once")

    def logged(self) -> str:
        """What it has logged up to now."""
        with contextlib.suppress(OSError):
            return self._log.read_text(errors="replace").strip()
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """End it; what is left to read in `records` is all that will ever be there."""
        self._stop()

    @property
    def ended_early(self) -> bool:
        """Whether it ended before it was told to, once the context has been left."""
        return self._ended_early

    def _stop(self) -> None:
        """End it, after ten seconds by force."""
        if os.waitpid(self._pid, os.WNOHANG)[0]:
            self._ended_early = True
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)  # it writes the records of the last requests, too
        ended = os.pidfd_open(self._pid)
        try:
            if not select.select([ended], [], [], _STOP_SECONDS)[0]:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._pid, signal.SIGKILL)
        finally:
            os.close(ended)
        os.waitpid(self._pid, 0)


def _serve(config: Config, parent: int, descriptors: tuple[int, int, int, int]) -> NoReturn:
    """Be the server, in the child; never returns. The descriptors: records, log, listener, readiness."""
    status = 1
    try:
        os.setsid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() == parent:  # else it ended before the kernel was asked to tell of it
            _take_descriptors(descriptors)
            _run(config)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"{error}\n".encode())
    finally:
        os._exit(status)


def _take_descriptors(descriptors: tuple[int, int, int, int]) -> None:
    """Put the descriptors in their places, and close all others, of which others may wait for the end."""
    # First where none of them is in the place of another one.
    apart = [fcntl.fcntl(fd, fcntl.F_DUPFD, _FAR) for fd in descriptors]
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    for fd, place in zip(apart, (1, 2, _FIRST_ACTIVATED, _READY_FD), strict=True):
        os.dup2(fd, place)
    os.set_inheritable(_READY_FD, False)
    os.closerange(_READY_FD + 1, os.sysconf("SC_OPEN_MAX"))


def _run(config: Config) -> None:
    """Run the server on the socket in its place, as under a service manager."""
    os.environ.pop("NOTIFY_SOCKET", None)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}

    def ready(_config: Config) -> None:
        os.write(_READY_FD, b"!")
        os.close(_READY_FD)

    build_server(lambda: config, lambda _config: None, ready).run()
