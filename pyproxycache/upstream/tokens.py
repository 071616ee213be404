"""Answers of token servers, as registries of images use them, read with limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pyproxycache import clock
from pyproxycache.errors import UpstreamBusy, UpstreamMalformed, UpstreamUnreachable
from pyproxycache.upstream.exchange import Exchange

_LONGEST = 256 << 10  # bytes of an answer
_USUAL = 60.0  # seconds that a token holds if its server does not say
_MOST = 86400.0  # seconds that one is kept, whatever its server says
_SENDABLE = re.compile(r"[\x21-\x7e]{1,16384}")


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and how long it holds (seconds, from when it was asked for)."""

    text: str = field(repr=False)
    lifetime: float


def read_token(exchange: Exchange, server: str, until: float) -> Token | None:
    """The token that a server (its origin) answers with; None if it refuses one.

    The answer has to be there before `until` (steady seconds). Raises UpstreamBusy, UpstreamUnreachable,
    UpstreamMalformed and what Exchange.read() does; closes the exchange.
    """
    try:
        head = exchange.head
        if head.status == 429:
            waits = tuple(("Retry-After", value) for value in head.headers.lines("retry-after")[:1])
            raise UpstreamBusy(f"{server} gives no more tokens for a while", headers=waits)
        if head.status >= 500:
            raise UpstreamUnreachable(f"{server} gives no token: {head.status}", "http_protocol_error")
        if head.status >= 400:
            return None
        if head.status != 200:
            raise UpstreamMalformed(f"{server} gives no token: it answers {head.status}")
        return _token(_read(exchange, server, until), server)
    finally:
        exchange.close()


def _read(exchange: Exchange, server: str, until: float) -> bytes:
    read = bytearray()
    while data := exchange.read():
        read += data
        if len(read) > _LONGEST:
            raise UpstreamMalformed(f"{server} gives no token, but more than {_LONGEST} bytes")
        if clock.steady() > until:
            raise UpstreamUnreachable(f"{server} gives no token in time", "http_response_timeout")
    return bytes(read)


def _token(answer: bytes, server: str) -> Token:
    try:
        told: Any = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = None
    told = told if isinstance(told, dict) else {}
    text = told.get("token") or told.get("access_token")
    if not isinstance(text, str) or not _SENDABLE.fullmatch(text):
        raise UpstreamMalformed(f"{server} gives no token: its answer has none that can be sent")
    lifetime = told.get("expires_in")
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not lifetime > 0:
        lifetime = _USUAL
    return Token(text, float(min(lifetime, _MOST)))
