"""What the threads of this worker are doing: their stacks, without the values of any variable."""

from __future__ import annotations

import os
import sys
import threading
import traceback

from pyproxycache.front.admin.admin_reply import AdminReply
from pyproxycache.front.admin.admin_request import AdminRequest


def stacks(_request: AdminRequest) -> AdminReply:
    """The stacks of all threads of the worker that answers."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = [f"worker {os.getpid()}, threads: {len(names)}\n"]
    for ident, frame in sys._current_frames().items():
        lines = "".join(traceback.format_stack(frame))
        found.append(f"\nthread {names.get(ident, 'of no name')} ({ident}):\n{lines}")
    return AdminReply(200, "".join(found).encode("utf-8", "replace"))
