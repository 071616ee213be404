"""The C library's heap: limits its arenas, and gives free pages back."""

from __future__ import annotations

import contextlib
import ctypes

from pyproxycache import clock

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2
_TRIM_SECONDS = 30.0


def keep_few_arenas() -> None:
    """Limit the heap to two arenas; to be called before there are threads. Has no effect without glibc.

    Threads take turns at the interpreter, so arenas of their own gain nothing, and no thread can use the
    free memory in another's: without the limit, a worker grew by half in some minutes of mixed load.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


class HeapTrim:
    """Gives free pages of the heap back to the system, every half minute; belongs to one thread."""

    def __init__(self) -> None:
        self._due = clock.steady() + _TRIM_SECONDS

    def trim(self) -> None:
        """Give free pages back if that is due; has no effect without glibc."""
        if clock.steady() >= self._due:
            self._due = clock.steady() + _TRIM_SECONDS
            with contextlib.suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)
