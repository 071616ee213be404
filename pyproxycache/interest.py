"""Whether the client still waits for its answer, and what is broken off when it does not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from pyproxycache.errors import ClientGone


class Interest:
    """One client's interest in its answer; the fields are guarded by `_lock`.

    A thread that waits for an origin ties its connection to the interest; another thread, which notices
    that the client has gone, breaks the connection off through it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_lost = False
        self._break_off: Callable[[], None] | None = None
        self._is_shared: Callable[[], bool] = _never

    def lose(self) -> bool:
        """Break off what goes on for this client alone, as it has gone; returns whether that was done.

        If there is nothing to break off, or others wait for the same, nothing changes.
        """
        with self._lock:
            if self._break_off is None or self._is_shared():
                return False
            self._is_lost = True
            # With the lock held: once it is released, the connection may serve another request.
            self._break_off()
            return True

    @contextlib.contextmanager
    def tied(self, break_off: Callable[[], None]) -> Iterator[None]:
        """Have `break_off` called if the client goes during this context; then it raises ClientGone."""
        with self._lock:
            self._raise_if_lost()
            self._break_off = break_off
        try:
            yield
        except Exception as error:
            with self._lock:
                self._raise_if_lost(error)
            raise
        finally:
            with self._lock:
                self._break_off = None
        with self._lock:
            self._raise_if_lost()

    @contextlib.contextmanager
    def shared(self, is_shared: Callable[[], bool]) -> Iterator[None]:
        """While `is_shared` returns true in this context, the client's leaving breaks nothing off."""
        with self._lock:
            self._is_shared = is_shared
        try:
            yield
        finally:
            with self._lock:
                self._is_shared = _never

    def _raise_if_lost(self, cause: Exception | None = None) -> None:
        if self._is_lost:
            raise ClientGone("the client went away before there was an answer") from cause


def _never() -> bool:
    return False
