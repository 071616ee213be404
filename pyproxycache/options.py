"""The options of each component: frozen values, which the configuration has checked and converted.

Sizes are in bytes, ages in seconds. The word in an Annotated type names its notation, which is in
configuration/notation.py. None means that a feature is off, or that there is no limit.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from re import Pattern
from typing import Annotated, Literal

from msgspec import Struct

from pyproxycache.url import Url

Size = Annotated[int, "size"]
Age = Annotated[float, "age"]
Timeout = Annotated[float, "timeout"]
Network = Annotated[IPv4Network | IPv6Network, "network"]
Address = Annotated[str, "address"]
TcpAddress = Annotated[str, "TCP address"]
OriginUrl = Annotated[Url, "origin url"]
ParentUrl = Annotated[Url, "parent url"]
Folder = Annotated[Path, "path"]
HostPattern = Annotated[str, "host pattern"]
ParentException = Annotated[IPv4Network | IPv6Network | str, "host or network"]
Count = Annotated[int, "count"]
Port = Annotated[int, "port"]
Regex = Annotated[Pattern[str], "pattern"]
CaselessRegex = Annotated[Pattern[str], "caseless pattern"]
StatusSet = Annotated[str, "status"]
FieldName = Annotated[str, "field name"]
RealmText = Annotated[str, "realm"]
Account = Annotated[str, "account"]
Fingerprint = Annotated[str, "fingerprint"]
SecretText = Annotated[str, "secret"]
TextWithSecrets = Annotated[str, "text with secrets"]
AccessLogPlace = Annotated[str, "access log"]
Lifetime = Annotated[float | tuple[tuple[str, float], ...], "lifetime"]
"""One age for all statuses, or ages by status: "200", "2xx" or "any"."""

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
"""Loopback, link-local and unspecified addresses, and metadata services of clouds on other addresses."""


class TlsOptions(Struct, frozen=True, kw_only=True):
    """The files of a listener that speaks TLS, all in PEM.

    `certificate` may have those of its issuers behind it. With `client_ca`, clients have to show a
    certificate that one of these authorities has signed.
    """

    certificate: Folder
    key: Folder
    client_ca: Folder | None = None


class ListenerOptions(Struct, frozen=True, kw_only=True):
    """An address to listen on, and the TLS that is spoken there; None: plain HTTP."""

    address: Address
    tls: TlsOptions | None = None

    @property
    def scheme(self) -> str:
        """The scheme of URLs by which clients reach the cache there."""
        return "http" if self.tls is None else "https"


class TransparentOptions(Struct, frozen=True, kw_only=True):
    """The addresses to which a firewall redirects connections in HTTP and HTTPS."""

    http: tuple[TcpAddress, ...] = ()
    https: tuple[TcpAddress, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.schemes)

    @property
    def schemes(self) -> dict[str, str]:
        """The scheme of each address."""
        return {**dict.fromkeys(self.http, "http"), **dict.fromkeys(self.https, "https")}


class Share(Struct, frozen=True, kw_only=True):
    """A share of something: a percentage of the whole, but `most` bytes at most; or a size in bytes."""

    percent: float = 0.0
    most: int | None = None
    size: int = 0

    def of(self, whole: int) -> int:
        """The share of a whole of this many bytes, in bytes."""
        share = max(self.size, int(self.percent / 100 * whole))
        return share if self.most is None else min(share, self.most)


class StoreOptions(Struct, frozen=True, kw_only=True):
    """Where the store is and how large it may grow.

    Entries that were not used for `unused` are removed. `reserve` is kept free on the disk. `max_object` is
    the largest body that is stored, as a share of what the cache may take; `max_head` the largest head.
    `verify` is the share of the bodies that is compared with their digests each day.
    """

    path: Folder
    max_size: Size | None = 20 << 30
    unused: Age | None = 30 * 86400.0
    reserve: Annotated[Share, "reserve"] = Share(percent=5.0, most=4 << 30)
    max_object: Annotated[Share, "object size"] | None = Share(percent=50.0)
    max_head: Size = 64 << 10
    verify: Annotated[Share, "share of bodies"] = Share(percent=10.0)


class OriginTlsOptions(Struct, frozen=True, kw_only=True):
    """What is expected in TLS of origins whose hosts fit one of these patterns.

    The authorities in `ca_file` are trusted, too; lists of revoked certificates in it are obeyed. If there
    are `certificates` (SHA-256 fingerprints, "AB:CD:..."), the origin's own has to be one of them.
    """

    hosts: tuple[HostPattern, ...]
    ca_file: Folder | None = None
    certificates: tuple[Fingerprint, ...] = ()


class FetchOptions(Struct, frozen=True, kw_only=True):
    """How to download, and how long to wait (all times in seconds).

    `silence` is the longest wait for a byte. `head_timeout` limits the time from the first byte of a head
    to its end. `worker_silence`: a worker that gives no sign of life for so long is no longer followed.
    `tries` counts all attempts at one body, from the last one that made good progress. `pause` is the wait
    before the second try, and doubles up to `max_pause`. `stale_after` is how long an origin may take to
    answer if a stale entry can be served. `not_storable_for`: how long a key is remembered as not storable.
    `range_ahead`: how many bytes behind the end of a growing file a range may begin and still wait for it.
    `abandoned` and `abandoned_of_origin` limit the downloads that go on without a client, in all and of one
    origin. `drain` is the time that a stop leaves to running downloads. `offline`: no origin is asked for
    anything, and entries answer at any age. Of `tls` the first item that fits an origin's host counts.
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
    offline: bool = False
    tls_verify: bool = True
    ca_file: Folder | None = None
    tls: tuple[OriginTlsOptions, ...] = ()


class ProxyAuthOptions(Struct, frozen=True, kw_only=True):
    """The htpasswd file of the users who may ask, and the realm that their clients show them."""

    users: Folder
    realm: RealmText = "pyproxycache"


class ParentOptions(Struct, frozen=True, kw_only=True, rename={"exceptions": "except"}):
    """The parent proxy, and the hosts that are reached without it.

    `credentials` is a file with user:password for it. An exception is a network, or a pattern of hosts
    (rules.host_patterns).
    """

    url: ParentUrl
    credentials: Folder | None = None
    exceptions: tuple[ParentException, ...] = ()


class ConnectOptions(Struct, frozen=True, kw_only=True):
    """To which ports clients may have tunnels, and how long one may be silent (`idle`, seconds).

    The same silence is allowed to connections that have switched to another protocol.
    """

    ports: tuple[Port, ...] = (443, 80)
    idle: Timeout = 86400.0


class InterceptOptions(Struct, frozen=True, kw_only=True, rename={"exceptions": "except"}):
    """The hosts whose HTTPS is intercepted, and the exceptions of them.

    `ca` is the folder of the certificate authority, None for the usual one.
    """

    hosts: tuple[HostPattern, ...] = ()
    exceptions: tuple[HostPattern, ...] = ()
    ca: Folder | None = None


class GuardOptions(Struct, frozen=True, kw_only=True):
    """Addresses that clients on other machines may not reach; `permit` wins over `deny`.

    `own_addresses`: this machine's addresses on other interfaces than the client's are denied too.
    """

    deny: tuple[Network, ...] = INWARD
    permit: tuple[Network, ...] = ()
    own_addresses: bool = True


class LimitOptions(Struct, frozen=True, kw_only=True):
    """Limits of requests.

    `header_fields` is the number of fields, `header_size` the size of one, `request_line` that of the
    request line. `origin_requests` and `client_requests` are how many threads of a worker may wait for one
    origin, and for one client; None: half of the threads, and three quarters. `half_closed`: how long a
    client that has closed its sending side is assumed to wait for an answer that has not begun.
    """

    header_fields: Count = 100
    header_size: Size = 16 << 10
    request_line: Size = 16 << 10
    origin_requests: Count | None = None
    client_requests: Count | None = None
    half_closed: Age = 2.0


class KissCacheOptions(Struct, frozen=True, kw_only=True):
    """KissCache's interface; its health page answers 503 while `shutdown_file` exists.

    `max_ttl` is the longest ttl that a client may ask for. `instance` is the name that the pages show.
    """

    enabled: bool = True
    max_ttl: Age = 30 * 86400.0
    shutdown_file: Folder | None = None
    instance: str = ""


class ForwardedOptions(Struct, frozen=True, kw_only=True):
    """Whether Forwarded and X-Forwarded fields are sent; None: only by a reverse proxy.

    `trust` names the networks of proxies whose own such fields are believed.
    """

    send: bool | None = None
    trust: tuple[Network, ...] = ()


class CacheStatusOptions(Struct, frozen=True, kw_only=True):
    """Whether Cache-Status has the cache key; None: yes, unless this is a reverse proxy."""

    key: bool | None = None


class LogOptions(Struct, frozen=True, kw_only=True):
    """The log's level, and the access log: where its lines go, their format, and whether queries are kept.

    `access` is a path, "-" for standard output, or syslog:[PATH|HOST:PORT].
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    access: AccessLogPlace | None = None
    format: Literal["squid", "common", "combined", "json"] = "squid"
    query: bool = False


class MatchOptions(Struct, frozen=True, kw_only=True):
    """The conditions of a rule as written: patterns may match anywhere; a status is "404" or "4xx"."""

    host: CaselessRegex | None = None
    path: Regex | None = None
    status: tuple[StatusSet, ...] = ()
    content_type: CaselessRegex | None = None


class RuleOptions(Struct, frozen=True, kw_only=True):
    """One item of `rules:` as it is written; rules.policy.Rule is the form that rules.decide uses."""

    match: MatchOptions = MatchOptions()
    fresh: Lifetime | None = None
    stale_if_error: Age | None = None
    stale_while_revalidate: Age | None = None
    ignore: tuple[FieldName, ...] = ()
    no_store: bool = False
    store_cookies: bool = False
    silence: Timeout | None = None
    query: Literal["ignore", "sort", "keep"] = "keep"


class AdminOptions(Struct, frozen=True, kw_only=True):
    """Where the operator asks the server, and who is the operator: who has the token, or is in `allow`.

    None for `allow`: without a token those on this machine, with one nobody else. `hosts` are names by
    which those without a token may ask.
    """

    listen: tuple[Address, ...] = ()
    token: SecretText | None = None
    allow: tuple[Network, ...] | None = None
    hosts: tuple[HostPattern, ...] = ()


class ServerOptions(Struct, frozen=True, kw_only=True):
    """What the master process needs: addresses, numbers of processes and threads, and limits.

    `redirected` are those of the addresses in `listen` to which a firewall redirects connections.
    """

    listen: tuple[str, ...]
    redirected: tuple[str, ...]
    workers: int
    threads: int
    drain: float
    log_level: str
    limits: LimitOptions
