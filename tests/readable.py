"""Whether something can be read from a descriptor, whatever its number: select() takes none above 1023."""

from __future__ import annotations

import select
from typing import Protocol


class HasDescriptor(Protocol):
    def fileno(self) -> int: ...


def is_readable(what: int | HasDescriptor, seconds: float) -> bool:
    """Whether there is something to be read, or the other end has closed, within so many seconds."""
    poll = select.poll()
    poll.register(what, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))
