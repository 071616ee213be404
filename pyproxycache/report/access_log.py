"""One line for each request."""

from __future__ import annotations

import time

from pyproxycache.messages import without_query
from pyproxycache.outcome import Outcome


def line(outcome: Outcome) -> str:
    """Client, time, request, status, bytes, seconds and result; queries are left out."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(outcome.started))
    return (
        f'{outcome.client} {when} "{outcome.method} {without_query(outcome.key) or "-"}" '
        f"{outcome.status} {outcome.bytes_sent} {outcome.seconds:.3f} {outcome.result.value}"
    )
