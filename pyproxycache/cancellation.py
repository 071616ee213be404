"""Cancelling what is done for a client that has closed its connection before it had its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

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

    def tied(self, break_off: Callable[[], None]) -> AbstractContextManager[None]:
        """A context in which `break_off` is called if the client goes; it then raises ClientGone."""
        return _Within(lambda: self._tie(break_off), self._untie)

    def shared(self, is_shared: Callable[[], bool]) -> AbstractContextManager[None]:
        """A context in which the client's leaving breaks nothing off while `is_shared` returns true."""
        return _Within(lambda: self._share(is_shared), lambda _error: self._share(_never))

    def _tie(self, break_off: Callable[[], None]) -> None:
        with self._lock:
            self._raise_if_cancelled()
            self._break_off = break_off

    def _untie(self, error: BaseException | None) -> None:
        with self._lock:
            self._break_off = None
            if error is None or isinstance(error, Exception):
                self._raise_if_cancelled(error)

    def _share(self, is_shared: Callable[[], bool]) -> None:
        with self._lock:
            self._is_shared = is_shared

    def _raise_if_cancelled(self, cause: Exception | None = None) -> None:
        if self._is_cancelled:
            raise ClientGone("the client went away before there was an answer") from cause


def _never() -> bool:
    return False


class _Within:
    """A context of two functions; a generator in their place costs each miss some microseconds."""

    __slots__ = ("_enter", "_leave")

    def __init__(self, enter: Callable[[], None], leave: Callable[[BaseException | None], None]) -> None:
        self._enter = enter
        self._leave = leave

    def __enter__(self) -> None:
        self._enter()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._leave(error)
