"""Asks a server for a small answer in JSON: within a time, up to a size, without following redirects."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from pyproxycache import clock
from pyproxycache.errors import ProxyError, TokenCheckFailed
from pyproxycache.facts import Facts
from pyproxycache.messages import Request
from pyproxycache.upstream.exchange import Exchange

log = logging.getLogger("pyproxycache.introspection")

_LONGEST = 256 << 10

Send = Callable[[Request, Facts, float], Exchange]
"""Sends a request, with a patience for the head of its answer (seconds); raises ProxyError."""


def answer_of(send: Send, request: Request, seconds: float) -> tuple[int, bytes]:
    """The status and the content of the answer; raises TokenCheckFailed, which names the origin alone."""
    until = clock.steady() + seconds
    try:
        exchange = send(request, Facts(), seconds)
        try:
            exchange.end_by(until)
            return exchange.head.status, _read(exchange, request.url.origin, until)
        finally:
            exchange.close()
    except TokenCheckFailed:
        raise
    except ProxyError as error:
        # Its text may quote the URL or the answer, and both may have the token.
        what = error.proxy_error or type(error).__name__
        raise failed(request.url.origin, f"cannot be asked: {what}") from None


def json_object(content: bytes) -> dict[str, Any] | None:
    """The object in JSON that the content is; None if it is none."""
    try:
        found: Any = msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def object_in(content: bytes, origin: str) -> dict[str, Any]:
    """The object in JSON that the origin has answered with; raises TokenCheckFailed."""
    found = json_object(content)
    if found is None:
        raise failed(origin, "does not answer with an object in JSON")
    return found


def failed(origin: str, why: str) -> TokenCheckFailed:
    """The error that says why the origin is of no use, which is logged."""
    log.warning("%s %s", origin, why)
    return TokenCheckFailed(f"{origin} {why}")


def _read(exchange: Exchange, origin: str, until: float) -> bytes:
    read = bytearray()
    while data := exchange.read():
        read += data
        if len(read) > _LONGEST:
            raise failed(origin, f"answers with more than {_LONGEST} bytes")
        if clock.steady() > until:
            raise failed(origin, "does not answer in time")
    return bytes(read)
