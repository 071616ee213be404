"""What Ctrl-C does to a command that downloads."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

_INTERRUPTED = 130


@contextlib.contextmanager
def ending_on_interrupt(tell: Callable[[], None]) -> Iterator[None]:
    """Ends the process on SIGINT, after `tell`, while threads read what cannot be interrupted.

    A thread waits for the signal: the main thread may be about to wait for others, and would not see it.
    """

    def end() -> None:
        signal.sigwait({signal.SIGINT})
        try:
            tell()
        finally:
            os._exit(_INTERRUPTED)  # the cache goes on downloading without us

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what is in the background
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        threading.Thread(target=end, name="interrupt", daemon=True).start()
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
