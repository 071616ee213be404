"""Checks of a request's fields, beyond those of the parsers."""

from __future__ import annotations

import re

from pyproxycache.errors import BadRequest
from pyproxycache.messages import Headers

_LONGEST_BODY = 2**63 - 1
_ONE_VALUE = re.compile(r"[^\s,\"\\]+")
_HOST = re.compile(r"(?:[!$&'()*+;=%._~0-9A-Za-z-]+|\[[0-9A-Fa-fvV:.]+\])(?::[0-9]*)?")
LOOK_ALIKES = {
    f"{first}{mark}{second}": f"{first}-{second}"
    for first, second in (("content", "length"), ("transfer", "encoding"))
    for mark in "!#$%&'*+.^_`|~"
}
"""Names that look like framing fields to servers that make variables of them (RFC 3875 section 4.1.18)."""
_LOOK_ALIKE_NAMES = frozenset(LOOK_ALIKES)


def check_fields(headers: Headers, version: tuple[int, int], *, names_cache: bool) -> None:
    """Raise BadRequest if another server might see another host, or another end of the request.

    RFC 9112 sections 3.2 and 6.3. `names_cache`: the Host names only this cache, which simple clients of a
    URL prefix do not always write correctly, so any single value is accepted.
    """
    _check_host(headers.lines("host"), version, _ONE_VALUE if names_cache else _HOST)
    for name in headers.among(_LOOK_ALIKE_NAMES):
        raise BadRequest(f"the field {name} looks like {LOOK_ALIKES[name]} and is not that")
    if int(headers.get("content-length") or 0) > _LONGEST_BODY:
        raise BadRequest("the Content-Length is beyond all that can be counted")


def _check_host(lines: tuple[str, ...], version: tuple[int, int], accepted: re.Pattern[str]) -> None:
    if not lines:
        if version >= (1, 1):
            raise BadRequest("a request in HTTP/1.1 needs a Host field")
    elif len(lines) > 1 or accepted.fullmatch(lines[0]) is None:
        raise BadRequest("the Host field is not one host, with or without a port")
