"""Heads of answers to clients: their framing, and their bytes in HTTP/1.1 (RFC 9112)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

from pyproxycache.messages import Head, Headers
from pyproxycache.rules.grammar import split_list

_REASON = re.compile(r"[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff]")
_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}


@dataclass(frozen=True, slots=True)
class Framing:
    """How the client knows where the body ends: its `length` (bytes), chunks, or the connection's end.

    A connection is the one stream of HTTP/2 here.

    `opens_tunnel`: there is no body, and no HTTP any more (RFC 9110 sections 7.8 and 9.3.6).
    """

    has_body: bool
    length: int | None
    is_chunked: bool
    ends_connection: bool
    opens_tunnel: bool = False


_TUNNEL = Framing(has_body=False, length=None, is_chunked=False, ends_connection=False, opens_tunnel=True)


def framing_of(method: str, version: tuple[int, int], head: Head) -> Framing:
    """The framing for an answer with this head; a Content-Length in it has to be the body's."""
    status = head.status
    if status == 101 or (method == "CONNECT" and 200 <= status < 300):
        return _TUNNEL
    if method == "HEAD" or status < 200 or status in (204, 304):
        return Framing(has_body=False, length=None, is_chunked=False, ends_connection=False)
    text = head.headers.get("content-length")
    length = None if text is None else int(text)
    is_chunked = length is None and (1, 1) <= version < (2, 0)  # a stream of HTTP/2 has an end of its own
    return Framing(True, length, is_chunked, ends_connection=length is None and not is_chunked)


def head_bytes(head: Head, framing: Framing, *, closes: bool) -> bytes:
    """The head as HTTP/1.1 bytes; `closes`: the connection ends after this answer."""
    switches = head.status == 101
    lines = [f"HTTP/1.1 {status_line(head)}"]
    if switches or not framing.opens_tunnel:
        lines.append(f"Connection: {'upgrade' if switches else 'close' if closes else 'keep-alive'}")
    if framing.is_chunked:
        lines.append("Transfer-Encoding: chunked")
    for name, value in head.headers:
        lowered = name.lower()
        if framing.is_chunked and lowered == "content-length":
            continue  # it became known after the framing was chosen (RFC 9112 section 6.2)
        if lowered not in _HOP_BY_HOP or (switches and lowered == "upgrade"):
            lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def with_content_length(method: str, status: int, headers: Headers, length: int | None) -> Headers:
    """The fields with the Content-Length of a body of `length` bytes, or without one where that is None.

    What answers HEAD, and a 304, keeps its own (RFC 9112 section 6.3).
    """
    if method == "HEAD" or status == 304:
        lengths = set(split_list(headers.get("content-length") or ""))
        value = lengths.pop() if len(lengths) == 1 else ""
    else:
        value = "" if length is None or status == 204 else str(length)
    if not (value.isascii() and value.isdigit()):
        return headers.without("Content-Length")
    if headers.lines("content-length") == (value,):
        return headers
    return headers.with_field("Content-Length", value)


def status_line(head: Head) -> str:
    """Status and reason phrase; the registered phrase if the origin's is missing or cannot be sent."""
    if _REASON.fullmatch(head.reason):
        return f"{head.status} {head.reason}"
    try:
        return f"{head.status} {HTTPStatus(head.status).phrase}"
    except ValueError:
        return f"{head.status} Unknown"
