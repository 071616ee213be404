"""What became of a request: the record that reports are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Result(Enum):
    """How the request was answered."""

    HIT = "hit"
    FETCHED = "fetched"
    COLLAPSED = "collapsed"
    REVALIDATED = "revalidated"
    STALE = "stale"
    PASSED = "passed"
    LOCAL = "local"
    REFUSED = "refused"
    FAILED = "failed"


class Forward(Enum):
    """Why a request went to the origin: the values of `fwd` in RFC 9211 section 2.2."""

    BYPASS = "bypass"
    METHOD = "method"
    URI_MISS = "uri-miss"
    VARY_MISS = "vary-miss"
    MISS = "miss"
    REQUEST = "request"
    STALE = "stale"
    PARTIAL = "partial"


@dataclass(slots=True)
class Outcome:
    """One request's result, sizes (bytes) and times (seconds); filled in as the request proceeds."""

    result: Result = Result.FAILED
    forward: Forward | None = None
    forward_status: int | None = None
    stored: bool = False
    collapsed: bool = False
    ttl: int | None = None
    detail: str = ""
    status: int = 0
    key: str = ""
    method: str = ""
    client: str = ""
    started: float = 0.0
    seconds: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0

    def cache_status(self, name: str) -> str:
        """The Cache-Status member of this cache (RFC 9211)."""
        parts = [name]
        if self.forward is None and self.result in (Result.HIT, Result.STALE):
            parts.append("hit")
        if self.forward is not None:
            parts.append(f"fwd={self.forward.value}")
        if self.forward_status is not None:
            parts.append(f"fwd-status={self.forward_status}")
        if self.ttl is not None:
            parts.append(f"ttl={self.ttl}")
        if self.stored:
            parts.append("stored")
        if self.collapsed:
            parts.append("collapsed")
        if self.detail:
            parts.append(f"detail={self.detail}")
        return "; ".join(parts)
