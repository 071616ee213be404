"""The C library's heap: few arenas, for each of many would keep the most its threads ever had at a time."""

from __future__ import annotations

import contextlib
import ctypes

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2


def keep_few_arenas() -> None:
    """To be called before there are threads; has no effect with another C library than glibc.

    Threads here take turns at the interpreter, so that arenas of their own gain them nothing. What they
    leave in theirs is of no use to others: a worker grew by half in some minutes of mixed load.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)
