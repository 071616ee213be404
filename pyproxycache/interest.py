"""Whether somebody still waits for an answer, and what ends with that."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from pyproxycache.errors import ClientGone


class Interest:
    """One client's interest in its answer; the fields are guarded by `_lock`.

    Whoever waits for an origin on the client's behalf is told here of its leaving, by another thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_lost = False
        self._break_off: Callable[[], None] | None = None
        self._is_shared: Callable[[], bool] = _no

    def lose(self) -> bool:
        """The client has gone: break off what goes on for it alone.

        False, and nothing has changed, where nothing is to be broken off, or while others wait for it too.
        """
        with self._lock:
            if self._break_off is None or self._is_shared():
                return False
            self._is_lost = True
            # With the lock held: what is let go of may be another's a moment later.
            self._break_off()
            return True

    @contextlib.contextmanager
    def tied(self, break_off: Callable[[], None]) -> Iterator[None]:
        """What is done in here is broken off when the client goes; raises ClientGone where it has gone."""
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
        """What is done in here goes on without the client while others want it too."""
        with self._lock:
            self._is_shared = is_shared
        try:
            yield
        finally:
            with self._lock:
                self._is_shared = _no

    def _raise_if_lost(self, cause: Exception | None = None) -> None:
        if self._is_lost:
            raise ClientGone("the client went away before there was an answer") from cause


def _no() -> bool:
    return False
