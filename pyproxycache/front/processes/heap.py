"""The C library's heap: few arenas, for each of many would keep the most its threads ever had at a time."""

from __future__ import annotations

import contextlib
import ctypes

from pyproxycache import clock

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2
_TRIM_SECONDS = 30.0


def keep_few_arenas() -> None:
    """To be called before there are threads; has no effect with another C library than glibc.

    Threads here take turns at the interpreter, so that arenas of their own gain them nothing. What they
    leave in theirs is of no use to others: a worker grew by half in some minutes of mixed load.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


class HeapTrim:
    """Gives free pages of the heap back to the system, every half minute; belongs to one thread."""

    def __init__(self) -> None:
        self._due = clock.steady() + _TRIM_SECONDS

    def trim(self) -> None:
        """Do it where it is due; has no effect with another C library than glibc."""
        if clock.steady() >= self._due:
            self._due = clock.steady() + _TRIM_SECONDS
            with contextlib.suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)
