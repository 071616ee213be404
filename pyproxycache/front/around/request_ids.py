"""Ids by which requests are found in logs: X-Request-Id, and W3C's traceparent."""

from __future__ import annotations

import re
import secrets

from pyproxycache.announced import REQUEST_ID
from pyproxycache.messages import Headers

_PARENT, _STATE = "Traceparent", "Tracestate"
# What is safe in any log and file name; a UUID, a ULID and what load balancers make are of it.
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+=~-]{0,127}")
# Trace Context, sections 3.2 and 4.3: a version after 00 may go on behind these four.
_PARTS = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-[!-~]*)?"
)


def with_request_id(headers: Headers) -> tuple[Headers, str]:
    """The fields with one request id, the client's if that is sane, and the id."""
    lines = headers.lines(REQUEST_ID)
    if len(lines) == 1 and _SANE.fullmatch(lines[0]):
        return headers, lines[0]
    made = secrets.token_hex(16)
    return headers.with_field(REQUEST_ID, made), made


def with_trace(headers: Headers) -> Headers:
    """The fields with a traceparent; where there is none that is well-formed, a trace begins here."""
    lines = headers.lines(_PARENT)
    if len(lines) == 1 and _is_well_formed(lines[0]):
        return headers
    # The flag: whoever records may record it, and may still choose not to.
    made = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    return headers.without(_STATE).with_field(_PARENT, made)


def _is_well_formed(parent: str) -> bool:
    found = _PARTS.fullmatch(parent)
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return False
    return found["trace"].strip("0") != "" and found["span"].strip("0") != ""
