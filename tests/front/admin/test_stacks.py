"""Stacks of all workers: each tells its own to the others, and to no other user."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pyproxycache.front.admin.admin_request import AdminRequest
from pyproxycache.front.admin.own_stacks import own_stacks
from pyproxycache.front.admin.stack_teller import StackTeller, stacks_told, teller_address
from pyproxycache.front.admin.stacks import Stacks

ASKED = AdminRequest("GET", "/debug/stacks", {}, {}, "127.0.0.1")
UNPRIVILEGED = 65534


@contextmanager
def worker(work: Callable[[], None]) -> Iterator[int]:
    """The process id of a worker that does this, says so, and then lives on."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            work()
            os.write(write, b"x")
            time.sleep(60)
        finally:
            os._exit(1)
    try:
        assert os.read(read, 1) == b"x"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)
        os.close(write)


@pytest.fixture
def name() -> str:
    return secrets.token_hex(16)


def telling(name: str) -> Callable[[], None]:
    return lambda: StackTeller(name).start()


def test_a_threads_stack_is_told_with_its_name_and_no_values() -> None:
    value, over, begun = "a-value-of-" + "a-variable", threading.Event(), threading.Event()

    def waiting(_secret: str) -> None:
        begun.set()
        over.wait()

    thread = threading.Thread(target=waiting, args=(value,), name="that-one")
    thread.start()
    begun.wait()
    text = own_stacks().decode()
    over.set()
    thread.join()
    assert f"worker {os.getpid()}" in text
    assert "thread that-one (" in text
    assert "in waiting" in text
    assert value not in text


def test_all_workers_are_asked_and_the_asked_one_comes_first(name: str) -> None:
    with worker(telling(name)) as first, worker(telling(name)) as second:
        reply = Stacks(name, lambda: [first, second, os.getpid()]).answer(ASKED)
    assert reply.status == 200
    lines = reply.content.decode().splitlines()
    told = [int(line.split()[1].rstrip(",:")) for line in lines if line.startswith("worker ")]
    assert told == [os.getpid(), *sorted((first, second))]


def test_workers_that_cannot_answer_are_told_of_and_hold_up_no_other(name: str) -> None:
    with worker(telling(name)) as stopped, worker(telling(name)) as there, worker(lambda: None) as silent:
        os.kill(stopped, signal.SIGSTOP)
        begun = time.monotonic()
        text = Stacks(name, lambda: [stopped, there, silent, 2**22 + 1]).answer(ASKED).content.decode()
        assert time.monotonic() - begun < 8
    assert f"worker {there}, threads: " in text
    assert f"worker {stopped} does not answer; it is T (stopped)" in text
    assert f"worker {silent} does not answer; it is S (sleeping)" in text
    assert f"worker {2**22 + 1} has ended" in text


def test_a_worker_whose_end_nobody_has_noted_has_ended(name: str) -> None:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        assert (
            Stacks(name, lambda: [pid]).answer(ASKED).content.endswith(b"\n\nworker %d has ended\n" % pid)
        )
    finally:
        os.waitpid(pid, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_nothing(name: str) -> None:
    with worker(telling(name)) as pid:
        assert stacks_told(name, pid).startswith(b"worker ")
        found, give = os.pipe()
        child = os.fork()
        if not child:
            os.setuid(UNPRIVILEGED)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(teller_address(name, pid))
                try:
                    os.write(give, sock.recv(1000) or b"nothing")
                except ConnectionError:
                    os.write(give, b"nothing")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(found, 1000) == b"nothing"
        os.close(found)
        os.close(give)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_another_user_tells_in_a_workers_place_is_not_shown(name: str) -> None:
    def lie() -> None:
        os.setuid(UNPRIVILEGED)
        StackTeller(name).start()

    with worker(lie) as pid, pytest.raises(OSError, match="another user"):
        stacks_told(name, pid)


def test_who_keeps_silent_keeps_nobody_from_being_told(name: str) -> None:
    with worker(telling(name)) as pid, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(teller_address(name, pid))
        for _ in range(3):
            assert stacks_told(name, pid).startswith(b"worker ")
