"""File descriptors: when the process has none left, idle ones are closed before an operation fails."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_NONE_LEFT = {errno.EMFILE, errno.ENFILE}

closers: list[Callable[[], bool]] = []
"""Functions that close one idle descriptor each and return whether there was one.

Global, as descriptors are the process's; it changes only before there are threads.
"""


def opened(opening: Callable[[], T]) -> T:
    """Call `opening` and return what it opens, closing idle descriptors if it finds none free.

    Raises what `opening` raises.
    """
    idle = iter(closers)
    close = next(idle, None)
    while True:
        try:
            return opening()
        except OSError as error:
            if error.errno not in _NONE_LEFT:
                raise
            while close is not None and not close():
                close = next(idle, None)
            if close is None:
                raise


def make_sure_of(count: int) -> None:
    """Close idle descriptors until `count` are free; if there are too few idle ones, fewer are free."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for _ in range(count):
            found.append(opened(_any))
    for fd in found:
        os.close(fd)


def _any() -> int:
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
