"""Signals to processes that have just begun, or are about to end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from harness import Proxy
from readable import is_readable

MakeProxy = Callable[..., Proxy]


def just_forked(master: int, known: set[int]) -> int:
    """The next worker, at once when the kernel has made it."""
    children = Path(f"/proc/{master}/task/{master}/children")
    while True:
        for pid in map(int, children.read_text().split()):
            if pid not in known:
                return pid


def ends_by(pid: int, number: signal.Signals, seconds: float) -> bool:
    """Whether the signal ends the process in that time."""
    process = os.pidfd_open(pid)  # before the signal: its master reaps it at once
    try:
        signal.pidfd_send_signal(process, number)
        return is_readable(process, seconds)
    finally:
        os.close(process)


def test_a_worker_that_has_just_begun_ends_as_it_is_told(make_proxy: MakeProxy) -> None:
    """A master that stops does not wait for it in vain, until it has to kill it."""
    proxy = make_proxy()
    known: set[int] = set()
    for _ in range(5):
        worker = just_forked(proxy.pid, known)
        known.add(worker)
        assert ends_by(worker, signal.SIGTERM, 15), "the signal was lost"
    assert "was sent SIGTERM" not in proxy.log()


def test_a_master_that_is_told_again_and_again_ends_as_if_told_once(make_proxy: MakeProxy) -> None:
    proxy = make_proxy()
    end = os.pidfd_open(proxy.pid)
    while not is_readable(end, 0):
        os.kill(proxy.pid, signal.SIGTERM)
    os.close(end)
    assert proxy.terminate() == 0
