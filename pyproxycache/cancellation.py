"""Cancelling what is done for a client that has closed its connection before it had its answer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from pyproxycache.errors import ClientGone


class Cancellation:
    """Breaks off what is done for one client, once that client has gone; the fields are guarded by `_lock`.

    A thread that waits for an origin ties its connection to the cancellation; another thread, which notices
    that the client has gone, cancels, which breaks the connection off.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_cancelled = False
        self._break_off: Callable[[], None] | None = None
        self._is_shared: Callable[[], bool] = _never

    def cancel(self) -> bool:
        """Break off what goes on for this client alone, as it has gone; returns whether that was done.

        If there is nothing to break off, or others wait for the same, nothing changes.
        """
        with self._lock:
            if self._break_off is None or self._is_shared():
                return False
            self._is_cancelled = True
            # With the lock held: once it is released, the connection may serve another request.
            self._break_off()
            return True

    @contextlib.contextmanager
    def tied(self, break_off: Callable[[], None]) -> Iterator[None]:
        """Have `break_off` called if the client goes during this context; then it raises ClientGone."""
        with self._lock:
            self._raise_if_cancelled()
            self._break_off = break_off
        try:
            yield
        except Exception as error:
            with self._lock:
                self._raise_if_cancelled(error)
            raise
        finally:
            with self._lock:
                self._break_off = None
        with self._lock:
            self._raise_if_cancelled()

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

    def _raise_if_cancelled(self, cause: Exception | None = None) -> None:
        if self._is_cancelled:
            raise ClientGone("the client went away before there was an answer") from cause


def _never() -> bool:
    return False
