"""The page of what the threads of all workers are doing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyproxycache.front.admin.admin_reply import AdminReply
from pyproxycache.front.admin.admin_request import AdminRequest
from pyproxycache.front.admin.own_stacks import own_stacks
from pyproxycache.front.admin.stack_teller import stacks_told

_AT_ONCE = 32
_ENDED = "ZX"  # the master has not been told yet
_STATE = re.compile(r"^State:\s+(.+)$", re.MULTILINE)


class Stacks:
    """Asks the other workers of the server with this name, all at once; the own stacks come first."""

    def __init__(self, name: str, workers: Callable[[], Sequence[int]]) -> None:
        """`workers` gives the process ids of those that live."""
        self._name = name
        self._workers = workers

    def answer(self, _request: AdminRequest) -> AdminReply:
        """The stacks of all threads of all workers; of one that does not answer, what the kernel knows."""
        others = sorted(set(self._workers()) - {os.getpid()})
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="admin-stacks") as pool:
            told = [own_stacks(), *pool.map(self._told, others)]
        return AdminReply(200, b"\n\n".join(told))

    def _told(self, pid: int) -> bytes:
        try:
            return stacks_told(self._name, pid)
        except OSError:
            return _seen_of(pid).encode()


def _seen_of(pid: int) -> str:
    try:
        found = _STATE.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return f"worker {pid} has ended\n"
    state = found[1] if found else "there"
    if state[0] in _ENDED:
        return f"worker {pid} has ended\n"
    return f"worker {pid} does not answer; it is {state}\n"
