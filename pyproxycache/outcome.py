"""What became of a request: the record that counters and logs are made of."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from pyproxycache.announced import Announced
from pyproxycache.url import Url


class Result(Enum):
    """How the request was answered."""

    HIT = "hit"
    FETCHED = "fetched"
    COLLAPSED = "collapsed"
    REVALIDATED = "revalidated"
    STALE = "stale"
    PASSED = "passed"
    TUNNELLED = "tunnelled"
    INTERCEPTED = "intercepted"
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


class Outcome(Struct, frozen=True):
    """The record of one request: result, sizes (bytes) and times (seconds), as far as they are known.

    `forward` says why the origin was asked, `forward_status` what it answered (RFC 9211). `target` is the
    request target as it was sent, `url` what it means, None if it is invalid. `way` is how the cache is
    asked, `route` the gateway's route or the mirror that is asked, "" for none. `user` is who has logged in
    here, a character for each byte of the name. `request_id` is "" if the request has none. `peer` is the
    IP address that the answer came from, the parent's if it came `through_parent`. `head_bytes` and
    `bytes_sent` count the answer's head and body, `bytes_received` what the origin sent, `bytes_uploaded`
    what it was sent through a tunnel; `aborted`: the answer did not reach its end. `started` is in seconds
    since the epoch; `begun` is the same moment by the monotonic clock, from which `seconds` is measured.
    `announced` is what an event of the request tells besides; None if no route asks for one.
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
    way: str = "none"
    route: str = ""
    version: str = ""
    referer: str = ""
    user_agent: str = ""
    content_type: str = ""
    client: str = ""
    user: str = ""
    request_id: str = ""
    peer: str = ""
    through_parent: bool = False
    aborted: bool = False
    started: float = 0.0
    begun: float = 0.0
    seconds: float = 0.0
    head_bytes: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    bytes_uploaded: int = 0
    announced: Announced | None = None
