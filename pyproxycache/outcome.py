"""What became of a request: the record that reports are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pyproxycache.messages import Url


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
    """One request's result, sizes (bytes) and times (seconds); filled in as the request proceeds.

    `url` is None where the request-target, `target`, was not understood. `peer` is the address that the
    answer came from, the parent's if it came `through_parent`. `head_bytes` and `bytes_sent` are those of
    the answer's head and body; it was `aborted` if it did not get to its end. It `started` at that time of
    day, and had `begun` by the steady clock, which `seconds` are counted by.
    """

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
    target: str = ""
    url: Url | None = None
    version: str = ""
    referer: str = ""
    user_agent: str = ""
    content_type: str = ""
    client: str = ""
    peer: str = ""
    through_parent: bool = False
    aborted: bool = False
    started: float = 0.0
    begun: float = 0.0
    seconds: float = 0.0
    head_bytes: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
