"""What each component may be told: plain frozen values, checked and converted before they get here.

Sizes are bytes, ages seconds. The word behind an Annotated type says how people write the value;
config.py reads it. None means that the feature is off or has no limit.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from re import Pattern
from typing import Annotated, Literal

from msgspec import Struct

from pyproxycache.messages import Url

Size = Annotated[int, "size"]
Age = Annotated[float, "age"]
Timeout = Annotated[float, "timeout"]
Network = Annotated[IPv4Network | IPv6Network, "network"]
Address = Annotated[str, "address"]
HttpUrl = Annotated[Url, "url"]
ProxyUrl = Annotated[Url, "proxy url"]
Folder = Annotated[Path, "path"]
ParentException = Annotated[IPv4Network | IPv6Network | str, "host or network"]
Count = Annotated[int, "count"]
Regex = Annotated[Pattern[str], "pattern"]
CaselessRegex = Annotated[Pattern[str], "caseless pattern"]
StatusSet = Annotated[str, "status"]
FieldName = Annotated[str, "field name"]
AccessLogPlace = Annotated[str, "access log"]
Lifetime = Annotated[float | tuple[tuple[str, float], ...], "lifetime"]
"""One age, or ages by status: "200", "2xx" or "any"."""

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
INWARD = (
    *LOOPBACK,
    ip_network("169.254.0.0/16"),
    ip_network("fe80::/10"),
    ip_network("0.0.0.0/8"),
    ip_network("::/128"),
    ip_network("fd00:ec2::254/128"),
    ip_network("100.100.100.200/32"),
)
"""Loopback, link-local, unspecified, and the metadata services of clouds that use neither."""


class Share(Struct, frozen=True, kw_only=True):
    """A part of something: a percentage of the whole, or bytes."""

    percent: float = 0.0
    size: int = 0

    def of(self, whole: int) -> int:
        """Bytes of a whole of so many bytes."""
        return max(self.size, int(self.percent / 100 * whole))


class StoreOptions(Struct, frozen=True, kw_only=True):
    """Where the cache lies and how large it may grow.

    `unused`: an entry not read for so long goes. `reserve` stays free on the disk. `max_object` is the
    largest body that is kept, as a share of what the cache may take; `max_head` the largest head.
    `verify`: so much is read each day and compared with its digest.
    """

    path: Folder
    max_size: Size | None = 20 << 30
    unused: Age | None = 30 * 86400.0
    reserve: Annotated[Share, "reserve"] = Share(percent=5.0)
    max_object: Annotated[Share, "object size"] | None = Share(percent=50.0)
    max_head: Size = 64 << 10
    verify: Annotated[Share, "share of bodies"] = Share(percent=10.0)


class FetchOptions(Struct, frozen=True, kw_only=True):
    """How to download, and how long to wait for what.

    `silence` is the longest wait for a byte; `tries` counts the first one, and begins anew with each try
    that gets further by a good piece.
    `worker_silence`: a worker that gives no sign of life for so long is not followed any further.
    `head_timeout`: an answer's head is whole so long after its first byte, however it comes.
    `pause` is the wait before the second try and doubles up to `max_pause`. `stale_after` is how long
    an origin may take to answer while a stale copy is at hand. `range_ahead`: how far behind the end of
    a growing file a range may start and still wait for it. `abandoned`: downloads that go on with no client
    left, in all and for each origin. `drain`: what a stop allows running downloads.
    """

    connect_timeout: Timeout = 10.0
    silence: Timeout = 60.0
    head_timeout: Timeout = 60.0
    worker_silence: Timeout = 10.0
    stale_after: Timeout = 10.0
    tries: Count = 10
    pause: Age = 0.1
    max_pause: Age = 10.0
    not_storable_for: Age = 120.0
    range_ahead: Size = 8 << 20
    abandoned: Count = 64
    abandoned_of_origin: Count = 8
    drain: Age = 30.0
    tls_verify: bool = True
    ca_file: Folder | None = None


class ParentOptions(Struct, frozen=True, kw_only=True, rename={"exceptions": "except"}):
    """The proxy to go through, and what is reached without it.

    An exception is a network, a host name, or ".example.org" for a domain and all names below it
    (lower case).
    """

    url: ProxyUrl
    exceptions: tuple[ParentException, ...] = ()


class GuardOptions(Struct, frozen=True, kw_only=True):
    """Addresses that clients from elsewhere than loopback do not reach; `permit` wins over `deny`.

    `own_addresses`: nor do they reach this machine's addresses on other interfaces than theirs.
    """

    deny: tuple[Network, ...] = INWARD
    permit: tuple[Network, ...] = ()
    own_addresses: bool = True


class LimitOptions(Struct, frozen=True, kw_only=True):
    """What a request's head may measure: fields, bytes of one field, bytes of the request line.

    `origin_requests` and `client_requests`: how many requests of a worker may wait in threads for one
    origin, and for one client; None: half of the threads, and three quarters. `half_closed`: how long a
    client that sends no more is thought to wait for an answer that has not begun.
    """

    header_fields: Count = 100
    header_size: Size = 16 << 10
    request_line: Size = 16 << 10
    origin_requests: Count | None = None
    client_requests: Count | None = None
    half_closed: Age = 2.0


class KissCacheOptions(Struct, frozen=True, kw_only=True):
    """KissCache's interface: its health page answers 503 while `shutdown_file` exists.

    `max_ttl`: a client's longer ttl counts as this.
    """

    enabled: bool = True
    max_ttl: Age = 30 * 86400.0
    shutdown_file: Folder | None = None
    instance: str = ""


class ForwardedOptions(Struct, frozen=True, kw_only=True):
    """Whether origins are told of clients; None: by a reverse proxy. `trust`: whose word of it counts."""

    send: bool | None = None
    trust: tuple[Network, ...] = ()


class CacheStatusOptions(Struct, frozen=True, kw_only=True):
    """Whether Cache-Status tells the cache key; None: except to the clients of a reverse proxy."""

    key: bool | None = None


class LogOptions(Struct, frozen=True, kw_only=True):
    """The level of the log; where one line for each request goes, in which form, and with its query?

    `access` is a path, "-" for standard output, or syslog:[PATH|HOST:PORT].
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    access: AccessLogPlace | None = None
    format: Literal["squid", "common", "combined", "json"] = "squid"
    query: bool = False


class MatchOptions(Struct, frozen=True, kw_only=True):
    """Conditions of a rule, as written: patterns are searched; a status is "404" or "4xx"."""

    host: CaselessRegex | None = None
    path: Regex | None = None
    status: tuple[StatusSet, ...] = ()
    content_type: CaselessRegex | None = None


class RuleOptions(Struct, frozen=True, kw_only=True):
    """One item of `rules:`, as written; rules.policy has the form that decisions use."""

    match: MatchOptions = MatchOptions()
    fresh: Lifetime | None = None
    stale_if_error: Age | None = None
    stale_while_revalidate: Age | None = None
    ignore: tuple[FieldName, ...] = ()
    no_store: bool = False
    store_cookies: bool = False
    silence: Timeout | None = None
    query: Literal["ignore", "sort", "keep"] = "keep"


class ServerOptions(Struct, frozen=True, kw_only=True):
    """What the server process itself needs."""

    listen: tuple[str, ...]
    workers: int
    threads: int
    drain: float
    log_level: str
    limits: LimitOptions
