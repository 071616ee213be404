"""One line for each request."""

from __future__ import annotations

import logging
import os
import sys
import time

from pyproxycache.messages import without_query
from pyproxycache.outcome import Outcome

log = logging.getLogger("pyproxycache")


class AccessLog:
    """Appends a line for each request to a file, "-" being standard output; raises OSError at the start."""

    def __init__(self, where: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = sys.stdout.fileno() if where == "-" else os.open(where, flags, 0o640)
        self._failed = False

    def write(self, outcome: Outcome) -> None:
        """Append the line; where that fails, say so once, for no request fails by it."""
        try:
            # In one write, for threads and processes share the file.
            os.write(self._fd, f"{line(outcome)}\n".encode())
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.error("the access log cannot be written: %s", error.strerror)
            self._failed = True


def line(outcome: Outcome) -> str:
    """Client, time, request, status, bytes, seconds and result; queries are left out."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(outcome.started))
    # A quote may stand in a URL, and would end the field.
    resource = without_query(outcome.key).replace('"', "%22") or "-"
    return (
        f'{outcome.client} {when} "{outcome.method} {resource}" '
        f"{outcome.status} {outcome.bytes_sent} {outcome.seconds:.3f} {outcome.result.value}"
    )
