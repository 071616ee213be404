"""Requests, heads and stored responses: the values that all other modules share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Self

from pyproxycache.cancellation import Cancellation
from pyproxycache.connection_login import ConnectionLogin
from pyproxycache.url import Authority, Url, leads_upward

# Schemes that authenticate a connection, not a request (RFC 4559 section 5), in credentials and challenges.
_LOGS_IN = re.compile(r"(?:^|,)[ \t]*(?:ntlm|negotiate|nego2|kerberos)(?=[ \t,]|$)", re.IGNORECASE)


class Headers:
    """An immutable list of header fields, whose names are compared without case (RFC 9110 section 5)."""

    __slots__ = ("_made", "fields")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.fields: tuple[tuple[str, str], ...] = tuple(fields)
        self._made: dict[str, tuple[str, ...]] | None = None

    @property
    def _index(self) -> dict[str, tuple[str, ...]]:
        """The lines of each field, by its name in lower case; made when first asked for."""
        if self._made is None:
            self._made = _indexed(self.fields)
        return self._made

    def get(self, name: str) -> str | None:
        """The field's combined value: its lines joined by ", " (RFC 9110 section 5.3); None if absent."""
        lines = (self._made or self._index).get(name.lower())
        if lines is None:
            return None
        return lines[0] if len(lines) == 1 else ", ".join(lines)

    def lines(self, name: str) -> tuple[str, ...]:
        """The values of the field's lines in order; () if absent."""
        return (self._made or self._index).get(name.lower(), ())

    def among(self, names: frozenset[str]) -> frozenset[str]:
        """Those of these names, which have to be in lower case, that it has fields of."""
        return names.intersection(self._made or self._index)

    def __contains__(self, name: str) -> bool:
        return name.lower() in (self._made or self._index)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.fields)

    def __repr__(self) -> str:
        return f"Headers({list(self.fields)!r})"

    def names(self) -> frozenset[str]:
        """The names of all fields, in lower case."""
        return frozenset(self._index)

    def without(self, *names: str) -> Headers:
        """The fields without those of these names, which may be in any case."""
        return self.lacking({name.lower() for name in names})

    def lacking(self, names: AbstractSet[str]) -> Headers:
        """The fields without those of these names, which have to be in lower case."""
        if names.isdisjoint(self._index):
            return self
        return Headers([field for field in self.fields if field[0].lower() not in names])

    def with_field(self, name: str, value: str) -> Headers:
        """The fields with exactly this one line of the named field."""
        lines = self._index.get(name.lower(), ())
        if lines == (value,):
            return self
        rest = self.without(name).fields if lines else self.fields
        return Headers((*rest, (name, value)))

    def with_line(self, name: str, value: str) -> Headers:
        """The fields with one more line of the named field."""
        return Headers((*self.fields, (name, value)))


def _indexed(fields: tuple[tuple[str, str], ...]) -> dict[str, tuple[str, ...]]:
    index: dict[str, tuple[str, ...]] = {name.lower(): (value,) for name, value in fields}
    if len(index) < len(fields):
        repeated: dict[str, list[str]] = {}
        for name, value in fields:
            repeated.setdefault(name.lower(), []).append(value)
        index = {name: tuple(values) for name, values in repeated.items()}
    return index


@dataclass(frozen=True, slots=True)
class OwnAccess:
    """What the cache's own credentials for an upstream open: the URLs below that of the upstream.

    `space` is what one token of the upstream is good for, as a repository; None: it gives no tokens.
    """

    upstream: Url
    space: str | None = None

    def covers(self, url: Url) -> bool:
        """Whether the URL is below the upstream's, in whatever way its origin reads the path."""
        base = self.upstream.path.rstrip("/")
        below = url.origin == self.upstream.origin and url.path.startswith(f"{base}/")
        return below and not leads_upward(url.path)


@dataclass(frozen=True, slots=True)
class ByPool:
    """How a request is sent that one of several upstreams answers: by the pool of this `name`.

    `has_several`: there are several members indeed, and two answers may be of different ones. `host` is the
    Host that they see; "": that of their URL.
    """

    name: str
    has_several: bool = True
    host: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a URL, in whatever form the client sent it; `client` is the client's IP address."""

    method: str
    url: Url
    headers: Headers = field(default_factory=Headers)
    client: str = "127.0.0.1"
    version: tuple[int, int] = (1, 1)
    body: Iterable[bytes] | None = field(default=None, compare=False)
    ttl: float | None = None
    """Seconds that replace the freshness lifetime for this request (KissCache's ttl)."""
    content_key: str | None = None
    """A digest of a QUERY's content, its type and its coding, which selects the response; else None."""
    is_forwarded: bool = False
    """Whether the cache tells the origin which address the client used, which then selects the response."""
    interim: Callable[[Head], None] | None = field(default=None, compare=False)
    """Called with each interim head of the answer before the final one (RFC 9110 section 15.2)."""
    cancellation: Cancellation | None = field(default=None, compare=False)
    """Breaks off what is done for the client if it leaves; None if no client waits for the answer."""
    served: Callable[[Request, Entry], None] | None = field(default=None, compare=False)
    """Told of the request as it was answered, and of the entry that the answer is made of."""
    login: ConnectionLogin | None = field(default=None, compare=False)
    """The connection at which the client has logged in; None if the request comes from no connection."""
    follows_redirects: bool = False
    """Whether the cache follows redirects itself, as if what they lead to were at this URL."""
    destination: Authority | None = None
    """The IP address and port that it is sent to, whatever its URL says; None: those of the URL's host."""
    access: OwnAccess | None = None
    """What it is sent with of the cache's own credentials, which no rule sees; None: nothing."""
    repositories: tuple[str, ...] = ()
    """The URLs of the mirror's upstreams by which it came, in their order; none if it came otherwise."""
    patience: float | None = None
    """Seconds until the answer has to begin; None: as for all."""
    silence: float | None = None
    """The longest wait for a byte of its body (seconds); None: as for all."""
    stated: str | None = None
    """The digests that the mirror states of the file where others state others; it selects the response."""
    pool: ByPool | None = None
    """The pool whose members may answer it, of which its URL names the first; None: the URL's origin."""

    def with_headers(self, headers: Headers) -> Self:
        """The request with these headers in place of its own."""
        return self if headers is self.headers else replace(self, headers=headers)

    @property
    def host(self) -> str:
        """The Host that it is sent with."""
        return (self.pool is not None and self.pool.host) or self.url.authority

    @property
    def far_end(self) -> str:
        """Who is asked: the origin's host and port (the latter if not the default), or the destination."""
        return self.url.authority if self.destination is None else str(self.destination)

    @property
    def logs_in(self) -> bool:
        """Whether the request needs a logged-in connection to the origin, or logs one in (RFC 4559)."""
        is_logged_in = self.login is not None and self.login.is_at(self.url.origin)
        return is_logged_in or _logs_in(self.headers, "authorization")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a response: its status, reason phrase and header fields."""

    status: int
    reason: str = ""
    headers: Headers = field(default_factory=Headers)

    def with_headers(self, headers: Headers) -> Head:
        """The head with these header fields in place of its own."""
        return replace(self, headers=headers)

    @property
    def logs_in(self) -> bool:
        """Whether the response is a step in authenticating its connection (RFC 4559)."""
        return _logs_in(self.headers, "www-authenticate") or _logs_in(self.headers, "proxy-authenticate")

    @property
    def size(self) -> int:
        """The size of the fields in HTTP/1.1 (bytes)."""
        return sum(len(name) + len(value) + 4 for name, value in self.headers)


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `start` to `end`, both included, of a representation of `total` bytes (None: unknown)."""

    start: int
    end: int
    total: int | None

    @property
    def length(self) -> int:
        return self.end - self.start + 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored response: its head, its times, and the digest of its body.

    Times are seconds since the epoch: `request_time` and `response_time` as in RFC 9111 section 4.2.3.
    `vary` has the names that select it, with the request's normalised values (section 4.1). `digest` is the
    body's sha256 in hex, `size` its bytes, `part` the range that it is (None: the whole representation).
    `ttl` is the shortest lifetime that a request asked for. `peer` is the IP address it came from. `groups`
    are its cache groups (RFC 9875). `search` is the key without its query if No-Vary-Search lets other
    queries find the entry, else empty. `is_proven`: the body has a safe digest that the URL or a document
    states, so that it never changes. `is_disputed`: some repository states another digest of the file than
    its body has. `id` is that of its row, 0 before it is stored. `used` is when it was served last, where
    that prolongs its life; 0 otherwise.
    """

    key: str
    head: Head
    request_time: float
    response_time: float
    vary: tuple[tuple[str, str | None], ...] = ()
    digest: str = ""
    size: int = 0
    ttl: float | None = None
    peer: str = ""
    part: Part | None = None
    groups: tuple[str, ...] = ()
    search: str = ""
    is_proven: bool = False
    is_disputed: bool = False
    id: int = 0
    used: float = field(default=0.0, compare=False)

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def headers(self) -> Headers:
        return self.head.headers

    @property
    def first_byte(self) -> int:
        """The offset in the representation at which its body begins."""
        return 0 if self.part is None else self.part.start


def _logs_in(headers: Headers, name: str) -> bool:
    lines = headers.lines(name)
    return bool(lines) and any(map(_LOGS_IN.search, lines))
