"""Locks on files between processes, with a limit to how long a thread waits for one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.store.files.private import open_private
from pyproxycache.store.files.writing import as_store_error

_FLOCK = struct.Struct("hhqqi4x")


class LockBusy(StoreError):
    """Another process or thread has the lock, and kept it for longer than the caller waits."""


class FileLock:
    """A file's lock (flock), held by one thread of one process; the kernel wakes those that wait.

    flock(2) has no time limit. So a thread that finds the lock held by another process lets a LockWaiter
    wait for it, and gives up at its own limit. Until the LockWaiter has got the lock, all others give up at
    once. Waiting can be seen by others: a thread holds `_queue` meanwhile, a LockWaiter a lock on the first
    byte.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue = threading.Lock()  # held by the thread that waits for its turn
        # Held with the file's lock; guards the descriptor and the waiter.
        self._turn = threading.Lock()
        self._fd: tuple[int, int] | None = None  # the process it is of, and the descriptor
        self._waiter: LockWaiter | None = None

    @contextlib.contextmanager
    def held(self, patience: float, *, after_others: bool = False) -> Iterator[None]:
        """Hold the lock for the length of the block.

        Raises LockBusy after `patience` seconds, StoreError if it cannot be had at all. With
        `after_others`, those that wait for it now have it first.
        """
        if not self._is_turn(patience):
            raise LockBusy(f"{self._path} was not free for {patience:g} seconds")
        try:
            fd = self._descriptor()
            self._take(fd, patience, after_others)
            try:
                yield
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close the descriptor; the next use opens it again."""
        with self._turn:
            if self._fd is not None and self._fd[0] == os.getpid() and self._waiter is None:
                os.close(self._fd[1])
                self._fd = None

    def _descriptor(self) -> int:
        # Of its own in each process: an inherited descriptor would share the parent's lock.
        pid = os.getpid()
        if self._fd is None or self._fd[0] != pid:
            try:
                self._fd, self._waiter = (pid, open_private(self._path)), None
            except OSError as error:
                raise as_store_error(f"cannot lock {self._path}", error) from error
        return self._fd[1]

    def _is_turn(self, patience: float) -> bool:
        until = clock.steady() + patience
        if not self._queue.acquire(timeout=patience):
            return False
        try:
            return self._turn.acquire(timeout=max(0.0, until - clock.steady()))
        finally:
            self._queue.release()

    def _take(self, fd: int, patience: float, after_others: bool) -> None:
        # While the thread waits, the file may be locked by it at any moment, and let go of a moment later:
        # who tried it then would find it his.
        waited = None if self._waiter is None else self._waiter.waited()
        if waited is None:
            if not (after_others and _is_waited_for(fd)) and self._is_taken_at_once(fd):
                return
            waited = patience
            try:
                if patience and self._waiting(fd).wait(patience):
                    return
            except OSError as error:
                raise as_store_error(f"cannot lock {self._path}", error) from error
        raise LockBusy(f"another process has had {self._path} locked for {waited:.0f} seconds")

    def _is_taken_at_once(self, fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise as_store_error(f"cannot lock {self._path}", error) from error
        return True

    def _waiting(self, fd: int) -> LockWaiter:
        if self._waiter is None:
            try:
                self._waiter = LockWaiter(fd)
            except RuntimeError as error:  # there are no more threads
                raise StoreError(f"nobody can wait for {self._path}: {error}") from error
        return self._waiter


class LockWaiter:
    """A thread that waits for the file's lock in the caller's place; only one thread calls it at a time."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._wanted: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._changed = threading.Condition()  # guards the rest
        self._since: float | None = None  # when it began to wait (steady); None: it does not
        self._is_granted = self._is_given_up = False
        self._failure: OSError | None = None
        threading.Thread(target=self._run, name="file-lock", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait for the lock, `seconds` at most; gives whether the caller has it from here on.

        Not to be called while it waits already. Raises OSError if the system gives no lock.
        """
        with self._changed:
            self._since, self._is_granted, self._is_given_up = clock.steady(), False, False
            self._wanted.put(None)
            if not self._changed.wait_for(lambda: self._since is None, timeout=seconds):
                self._is_given_up = True
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            return self._is_granted

    def waited(self) -> float | None:
        """For how many seconds it has been waiting; None if it is not waiting."""
        with self._changed:
            return None if self._since is None else clock.steady() - self._since

    def _run(self) -> None:
        while True:
            self._wanted.get()
            failure = None
            try:
                _lock_first_byte(self._fd, fcntl.F_OFD_SETLKW)
                try:
                    fcntl.flock(self._fd, fcntl.LOCK_EX)
                finally:
                    _lock_first_byte(self._fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK)
            except OSError as error:
                failure = error
            with self._changed:
                self._since = None
                if not self._is_given_up:
                    self._is_granted, self._failure = failure is None, failure
                    self._changed.notify_all()
                elif failure is None:
                    fcntl.flock(self._fd, fcntl.LOCK_UN)


def _is_waited_for(fd: int) -> bool:
    """Whether a process waits for the file's lock now; raises OSError."""
    try:
        _lock_first_byte(fd, fcntl.F_OFD_SETLK)
    except BlockingIOError:
        return True
    _lock_first_byte(fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK)
    return False


def _lock_first_byte(fd: int, how: int, kind: int = fcntl.F_WRLCK) -> None:
    # A lock of the open file, like flock's, and apart from that.
    fcntl.fcntl(fd, how, _FLOCK.pack(kind, os.SEEK_SET, 0, 1, 0))
