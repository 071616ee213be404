"""Heads as nearly all are: well formed, with no content behind them; all others are gunicorn's to parse."""

from __future__ import annotations

import io
import re
from typing import Any

from pyproxycache.front.requests.raw_request import RawRequest

WELL_FORMED = re.compile(
    rb"(?:GET|HEAD) (?:/|https?://)[!-~]* HTTP/1\.[01]\r\n"
    rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)+\r\n"
)
"""A whole head of GET or HEAD in which nothing is open to interpretation (RFC 9112 sections 3 and 5)."""

_OF_CONTENT = re.compile(
    rb"\n(?:content[^:a-z0-9]length|transfer[^:a-z0-9]encoding|expect):", re.IGNORECASE
)
"""A field of content, or what another server may take for one."""


def is_simple(head: bytes) -> bool:
    """Whether it is such a head, and nothing that belongs to the request comes behind it."""
    return WELL_FORMED.fullmatch(head) is not None and _OF_CONTENT.search(head) is None


def simple_request(head: bytes, client: str, cfg: Any) -> RawRequest | None:
    """The request with this head, of a client at this address; None where it is not simple.

    The limits are those of gunicorn's `cfg`, which refuses what exceeds them.
    """
    if not is_simple(head):
        return None
    line, *lines = head[:-4].decode("latin-1").split("\r\n")
    longest = max(map(len, lines))
    if len(line) > cfg.limit_request_line or len(lines) > cfg.limit_request_fields:
        return None
    if longest > cfg.limit_request_field_size:
        return None
    fields = [(name, value.strip(" \t")) for name, _colon, value in map(_parts, lines)]
    if len({name.lower() for name, _value in fields}) < len(fields):
        return None  # which of them may come twice is gunicorn's to say
    method, target, version = line.split(" ")
    return RawRequest(
        method,
        target,
        (1, int(version[-1])),
        tuple(fields),
        client,
        io.BytesIO(),
    )


def names_as_sent(head: bytes) -> dict[str, str]:
    """The names of a head's fields by the same in upper case, which is all that gunicorn keeps of them."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.upper(): name for name, _colon, _value in map(_parts, lines)}


def _parts(line: str) -> tuple[str, str, str]:
    return line.partition(":")
