"""A lock on a file: waited for, but not for ever."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyproxycache.errors import StoreError
from pyproxycache.store.files.file_lock import FileLock, LockWaiter


@contextmanager
def locked_elsewhere(path: Path) -> Iterator[None]:
    """As by another process: the lock belongs to the open file."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(fd)


def test_it_is_free(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    for _ in range(2):
        with lock.held(30):
            pass
    lock.close()
    with lock.held(30):
        pass


def test_who_finds_it_held_gives_up_and_then_nobody_waits(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    with locked_elsewhere(tmp_path / "lock"):
        with pytest.raises(StoreError, match="another process has had"), lock.held(0.05):
            pass
        with pytest.raises(StoreError, match="locked for"), lock.held(0.05):
            pass
    done = threading.Event()
    while not done.is_set():  # as soon as the thread that waits has had it
        try:
            with lock.held(0.05):
                done.set()
        except StoreError:
            continue


def test_who_waits_gets_it(tmp_path: Path) -> None:
    lock, had = FileLock(tmp_path / "lock"), []

    def work(number: int) -> None:
        with lock.held(30):
            had.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    with locked_elsewhere(tmp_path / "lock"):
        for thread in threads:
            thread.start()
        assert had == []
    for thread in threads:
        thread.join(30)
    assert sorted(had) == [0, 1, 2, 3]


@pytest.mark.parametrize("waits", ["in this process", "in another one"])
def test_who_waits_has_it_before_who_comes_after_others(tmp_path: Path, waits: str) -> None:
    mine = FileLock(tmp_path / "lock")
    others = mine if waits == "in this process" else FileLock(tmp_path / "lock")
    begun, had = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        with others.held(30):
            had.set()

    for _ in range(10):
        begun.clear()
        had.clear()
        thread = threading.Thread(target=wait)
        with mine.held(30):
            thread.start()
            begun.wait(30)
            time.sleep(0.05)  # it is waiting by then
        with mine.held(30, after_others=True):
            assert had.is_set()
        thread.join(30)


def test_an_error_gives_it_back(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    with pytest.raises(ValueError, match="x"), lock.held(0.05):
        raise ValueError("x")
    with lock.held(0.05):
        pass
    with locked_elsewhere(tmp_path / "lock"):
        pass


def test_who_has_given_up_takes_it_from_nobody(tmp_path: Path) -> None:
    """The thread that waits on gets it late, and lets it go again: not while another one has it."""
    lock = FileLock(tmp_path / "lock")

    def is_taken() -> bool:
        try:
            with lock.held(0.001):
                time.sleep(0.001)  # the other thread has its chance
                with (tmp_path / "lock").open() as other, pytest.raises(BlockingIOError):
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except StoreError:
            return False
        return True

    for _ in range(100):
        with locked_elsewhere(tmp_path / "lock"):
            assert not is_taken()
        end = time.monotonic() + 30
        while not is_taken():
            assert time.monotonic() < end


def test_without_a_thread_to_wait_in_its_place_one_gives_up(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    before = threading.stack_size(1 << 47)  # no thread can have one
    try:
        with locked_elsewhere(tmp_path / "lock"), pytest.raises(StoreError), lock.held(30):
            pass
    finally:
        threading.stack_size(before)
    with lock.held(30):
        pass


def test_a_waiter_outlives_a_lock_that_the_system_does_not_give(tmp_path: Path) -> None:
    no_file = os.open(tmp_path, os.O_PATH)  # what cannot be locked
    waiter = LockWaiter(no_file)
    for _ in range(2):
        with pytest.raises(OSError, match="descriptor"):
            waiter.wait(5.0)
        assert waiter.waited() is None
    os.close(no_file)
