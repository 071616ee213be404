"""Heads of answers as the text that goes to a client."""

from __future__ import annotations

import re
from http import HTTPStatus

from pyproxycache.messages import Head

_REASON = re.compile(r"[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff]")


def status_line(head: Head) -> str:
    """Status and reason, the registered one where the origin gave none that can be sent."""
    if _REASON.fullmatch(head.reason):
        return f"{head.status} {head.reason}"
    try:
        return f"{head.status} {HTTPStatus(head.status).phrase}"
    except ValueError:
        return f"{head.status} Unknown"
