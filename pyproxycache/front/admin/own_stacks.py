"""What the threads of this worker are doing: their stacks, without the values of any variable."""

from __future__ import annotations

import os
import sys
import threading
import traceback


def own_stacks() -> bytes:
    """The stacks of all threads of this process, as text."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = [f"worker {os.getpid()}, threads: {len(names)}\n"]
    for ident, frame in sys._current_frames().items():
        lines = "".join(traceback.format_stack(frame))
        found.append(f"\nthread {names.get(ident, 'of no name')} ({ident}):\n{lines}")
    return "".join(found).encode("utf-8", "replace")
