"""A program pinned to one core, with all the processes that it starts."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

_ALL_THREADS = 2
"""CPUCLOCK_SCHED, which with a process's number makes the number of its clock: clock_getcpuclockid(3)."""
READY = 20.0
"""Seconds that a server may take until it accepts."""


class Port:
    """A port that the system gave, bound and never listening: the number stays ours until close()."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


class Tree:
    """A running command in a session of its own; it prints to `output`, and runs in that folder."""

    def __init__(
        self, command: Sequence[str], core: int, output: Path, environment: Mapping[str, str]
    ) -> None:
        with output.open("ab") as log:
            self._main = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=output.parent,
                env=environment,
                start_new_session=True,
            )

    def wait_accepting(self, port: int) -> None:
        """Waits until the port answers; RuntimeError when the program ended, TimeoutError."""
        for _attempt in range(int(READY / 0.05)):
            if accepts(port):
                return
            try:
                status = self._main.wait(0.05)
                raise RuntimeError(f"ended with status {status} before it accepted")
            except subprocess.TimeoutExpired:
                continue
        raise TimeoutError(f"does not accept after {READY:.0f} s")

    def pids(self) -> list[int]:
        """The program's processes: those of its session, and what descends from them."""
        ours = {self._main.pid}
        for pid, parent, session in sorted(_processes()):
            if parent in ours or session == self._main.pid:
                ours.add(pid)
        return sorted(ours)

    def cpu(self) -> float:
        """CPU seconds so far, of all processes that run."""
        return sum(_cpu(pid) for pid in self.pids())

    def memory(self) -> int:
        """Bytes resident, those that processes share counted once (PSS)."""
        return sum(_pss(pid) for pid in self.pids())

    def stop(self) -> None:
        """SIGTERM to the program, after 5 s SIGKILL to all that is left; returns when all is gone."""
        processes = _opened(self.pids())
        self._main.terminate()
        try:
            self._main.wait(5.0)
        except subprocess.TimeoutExpired:
            pass
        for process in processes + _opened(self.pids()):
            try:
                signal.pidfd_send_signal(process, signal.SIGKILL)
            except ProcessLookupError:
                pass  # ended by itself
            select.select([process], [], [], 10.0)
            os.close(process)
        self._main.wait(10.0)


def accepts(port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


def last_line(text: str) -> str:
    """What a program said last, nothing where it said nothing."""
    return (text.strip().splitlines() or [""])[-1]


def _opened(pids: Iterable[int]) -> list[int]:
    """A descriptor for each process that is there: it stays that one's, and tells of its end."""
    opened = []
    for pid in pids:
        try:
            opened.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    return opened


def _processes() -> Iterator[tuple[int, int, int]]:
    """Process id, parent and session of every process."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        if text := _read(entry):
            _state, parent, _group, session = text.rpartition(")")[2].split()[:4]
            yield int(entry.parent.name), int(parent), int(session)


def _cpu(pid: int) -> float:
    """By the process's own clock, as /proc counts in steps of 10 ms."""
    try:
        return time.clock_gettime(~pid << 3 | _ALL_THREADS)
    except OSError:
        return 0.0


def _pss(pid: int) -> int:
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


def _read(path: Path) -> str:
    """The text, empty where the process ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
