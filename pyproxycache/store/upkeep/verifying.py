"""Reads stored bodies again, slowly and always, and compares them with their digests."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import platform
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyproxycache import clock
from pyproxycache.errors import StoreError
from pyproxycache.options import Share
from pyproxycache.store.bodies.blobs import Blobs
from pyproxycache.store.files.private import open_private
from pyproxycache.store.index.blob_rows import BlobRows
from pyproxycache.store.index.index import Index
from pyproxycache.store.upkeep.fsck import Finding, Fsck

log = logging.getLogger("pyproxycache.store")

Count = Callable[[dict[str, int]], None]

_DAY = 86400.0
_LONGEST_PAUSE = 3600.0
_TRY_AGAIN = 60.0
_NOTED_EVERY = 60.0
_FACT = "verified"

# ioprio_set(2): the kernel's numbers, of those machines that this is known of.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30}
_IDLE = 3 << 13


@dataclass(frozen=True, slots=True)
class Round:
    """The present round through all bodies, by digest, which has come to the digest `after`."""

    after: str = ""

    @property
    def share(self) -> float:
        """The share of all bodies that was verified in the round (0 to 1), as digests are spread evenly."""
        return int(self.after[:8] or "0", 16) / (1 << 32)


def present_round(index: Index) -> Round:
    """The present round, as it was noted last; raises StoreError."""
    return Round(index.fact(_FACT) or "")


class Verifier:
    """Verifies the bodies at so many bytes a day, in one process of all (a file lock).

    A damaged one is forgotten, so that the next request fetches it. `verify_next` belongs to one thread;
    `start` begins one for it, at idle priority for disk and processor.
    """

    def __init__(
        self, each_day: Share, index: Index, blob_rows: BlobRows, blobs: Blobs, fsck: Fsck, count: Count
    ) -> None:
        self._each_day = each_day
        self._index = index
        self._blob_rows = blob_rows
        self._blobs = blobs
        self._fsck = fsck
        self._count = count
        self._stopped = threading.Event()
        self._after = ""
        self._noted = 0.0

    def start(self) -> None:
        """Verify in the background, unless nothing is to be read each day."""
        if self._each_day.of(1 << 40):
            threading.Thread(target=self._run, name="verify", daemon=True).start()

    def close(self) -> None:
        """End the thread after the present body."""
        self._stopped.set()

    def _run(self) -> None:
        _be_idle()
        while not self._stopped.is_set():
            try:
                with self._only_one() as alone:
                    if alone:
                        self._after = present_round(self._index).after
                        self._go_on()
            except (StoreError, OSError) as error:
                log.warning("bodies are not verified for now: %s", error)
            self._stopped.wait(_TRY_AGAIN)

    def _go_on(self) -> None:
        """Body after body, for as long as this process lives."""
        while not self._stopped.is_set():
            size = self._verified()
            if clock.steady() - self._noted > _NOTED_EVERY:
                self._index.set_fact(_FACT, self._after)
                self._noted = clock.steady()
            # At the end of a round what was read last has been paid for.
            self._stopped.wait(self._pause(size) if size is not None else _TRY_AGAIN)

    def _verified(self) -> int | None:
        """What verify_next() gives; 0 for a body that cannot be read now, left to the next round."""
        try:
            return self.verify_next()
        except OSError as error:
            log.warning("a body is not verified: %s", error)
            self._stopped.wait(_TRY_AGAIN)
            return 0

    def _pause(self, size: int) -> float:
        """Seconds after which so many more bytes may be read."""
        rate = self._each_day.of(self._index.used_bytes()) / _DAY
        return min(size / rate, _LONGEST_PAUSE) if rate > 0 else _LONGEST_PAUSE

    def verify_next(self) -> int | None:
        """Verify one body, and give its size; None at the end of a round. Raises StoreError or OSError."""
        found = self._blob_rows.next_blob(self._after)
        if found is None:
            self._after = ""
            return None
        digest, size = found
        self._after = digest
        was_cached = self._is_cached(digest)
        for finding in self._fsck.check_bodies([found]):
            self._tell(finding, size)
        if not was_cached:
            self._let_go(digest)
        return size

    def _tell(self, finding: Finding | None, size: int) -> None:
        self._count({"verified.bodies": 1, "bytes.verified": size})
        if finding is not None:
            log.error("%s: %s; it is forgotten, and fetched again", finding.digest, finding.problem.value)
            self._fsck.fix(finding)
            self._count({"verified.damaged": 1})

    def _is_cached(self, digest: str) -> bool:
        """Whether the kernel has the body's beginning in memory, so that somebody may be using it."""
        with contextlib.suppress(OSError):
            fd = os.open(self._blobs.path(digest), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.preadv(fd, [bytearray(1)], 0, os.RWF_NOWAIT)
            except OSError as error:
                return error.errno != errno.EAGAIN
            finally:
                os.close(fd)
        return True

    def _let_go(self, digest: str) -> None:
        """Have the kernel drop the body from memory, which others can use."""
        with contextlib.suppress(OSError):
            fd = os.open(self._blobs.path(digest), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[bool]:
        lock = open_private(self._blobs.root / "verify.lock")
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)


def _be_idle() -> None:
    """This thread reads and computes when nobody else wants to, where the system lets it choose."""
    number = _IOPRIO_SET.get(platform.machine())
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        if number is not None:
            ctypes.CDLL(None, use_errno=True).syscall(number, 1, 0, _IDLE)
