"""Work that several threads want done at the same time, done by one of them for all who wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from pyproxycache.blocking import Blocking

T = TypeVar("T")
R = TypeVar("R")

MOST = 32
"""Items in one batch."""


class _Waiting(Generic[T, R]):
    """One thread's item and its result; `turn` is released when there is one, or the thread has to work."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.turn = threading.Lock()
        self.turn.acquire()
        self.result: R | None = None
        self.error: BaseException | None = None
        self.is_done = False


class Batches(Generic[T, R]):
    """Calls `work` with the items that came while it was busy; it gives a result or an error for each.

    `_waiting` and `_is_busy` are guarded by `_lock`. A thread does one batch, with its own item in it, and
    then the next one that waits does one.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R | Exception]]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._waiting: list[_Waiting[T, R]] = []
        self._is_busy = False

    @property
    def waiting(self) -> int:
        """How many items are in no batch yet."""
        return len(self._waiting)

    def do(self, item: T) -> R:
        """Have the item worked on, and give its result; raises the error that it came to."""
        wanted: _Waiting[T, R] = _Waiting(item)
        with self._lock:
            self._waiting.append(wanted)
            works, self._is_busy = not self._is_busy, True
        with Blocking():  # whoever has waited for longer than this one may join the batch
            if not works:
                wanted.turn.acquire()
        if not wanted.is_done:
            self._do_batch()
        if wanted.error is not None:
            raise wanted.error
        return wanted.result  # type: ignore[return-value]

    def _do_batch(self) -> None:
        """Work on the items that have waited longest, of which this thread's own is the first."""
        with self._lock:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            results: Sequence[R | Exception | BaseException] = self._work([one.item for one in batch])
        except BaseException as error:
            results = [error] * len(batch)
        for wanted, result in zip(batch, results, strict=True):
            if isinstance(result, BaseException):
                wanted.error = result
            else:
                wanted.result = result
            wanted.is_done = True
        with self._lock:
            self._is_busy = bool(self._waiting)
            following = self._waiting[0] if self._waiting else None
        for wanted in batch[1:]:
            wanted.turn.release()
        if following is not None:
            following.turn.release()
