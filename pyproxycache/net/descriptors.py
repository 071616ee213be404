"""The process's file descriptors: where none is left, what is idle is closed before anything fails."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_NONE_LEFT = {errno.EMFILE, errno.ENFILE}

closers: list[Callable[[], bool]] = []
"""Each closes something that is idle, and says whether there was any. The table of descriptors is the
process's, and so is this list; it is added to before there are threads."""


def opened(opening: Callable[[], T]) -> T:
    """What it opens, after closing what is idle where that is needed; raises what it raises."""
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
    """So many can be opened a moment later, as far as that can be had by closing what is idle."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for _ in range(count):
            found.append(opened(_any))
    for fd in found:
        os.close(fd)


def _any() -> int:
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
