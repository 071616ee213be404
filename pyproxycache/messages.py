"""HTTP messages and stored responses: the values that all other modules share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pyproxycache.body import EMPTY, Body
from pyproxycache.cancellation import Cancellation
from pyproxycache.connection_login import ConnectionLogin

DEFAULT_PORTS = {"http": 80, "https": 443}

# Schemes that authenticate a connection, not a request (RFC 4559 section 5), in credentials and challenges.
_LOGS_IN = re.compile(r"(?:^|,)[ \t]*(?:ntlm|negotiate|nego2|kerberos)(?=[ \t,]|$)", re.IGNORECASE)

# Segments that lead upwards, also where an origin decodes them or takes a backslash for a slash.
_UPWARD = re.compile(r"(?:[/\\]|%2F|%5C)(?:\.|%2E){2}(?:[/\\;]|%2F|%5C|\Z)", re.IGNORECASE)


STATED = "(stated)"
"""Stands among field names for the digests that a mirror states of a file, where others state others."""
MOST_OF_A_FILE = 16
"""Repositories whose statements of one file are kept."""


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
class Authority:
    """A host and a port; an IPv6 address has brackets only in the text."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https URL in parts; `target` is the path and query exactly as they were sent."""

    scheme: str
    host: str
    port: int
    target: str
    authority: str = field(init=False, repr=False, compare=False)
    """Host, and port where it is not the scheme's default; IPv6 in brackets."""
    origin: str = field(init=False, repr=False, compare=False)
    """Scheme and authority, with which all cache keys of the origin begin (RFC 9110 section 4.3.1)."""

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"
        object.__setattr__(self, "authority", authority)
        object.__setattr__(self, "origin", f"{self.scheme}://{authority}")

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str | None:
        _path, mark, query = self.target.partition("?")
        return query if mark else None

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def origin_of(url: str) -> str:
    """The origin (scheme and authority) with which a URL or a cache key begins (RFC 9110 section 4.3.1)."""
    return "/".join(url.split("/", 3)[:3])


def leads_upward(path: str) -> bool:
    """Whether an origin may take the path for another one further up, in whatever way it reads paths."""
    return _UPWARD.search(path) is not None


@dataclass(frozen=True, slots=True)
class Statement:
    """What the documents of one repository state of a file.

    `repository` is the URL below which its packages are ("https://host/path/"), `digests` are pairs of
    algorithm and hex. `document` is the URL of the document that stated it last, "" where that is not known
    any more. `is_binding`: a body that differs is refused.
    """

    repository: str
    digests: tuple[tuple[str, str], ...]
    document: str = ""
    is_binding: bool = True

    @property
    def text(self) -> str:
        """The digests as one text, which is equal where they are."""
        return " ".join(f"{algorithm}:{digest}" for algorithm, digest in sorted(self.digests))


def without_query(url: str) -> str:
    """The URL for a log: its query, which may carry secrets, is replaced by "…"."""
    path, mark, _query = url.partition("?")
    return f"{path}?…" if mark else path


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

    @property
    def logs_in(self) -> bool:
        """Whether the response is a step in authenticating its connection (RFC 4559)."""
        return _logs_in(self.headers, "www-authenticate") or _logs_in(self.headers, "proxy-authenticate")

    @property
    def size(self) -> int:
        """The size of the fields in HTTP/1.1 (bytes)."""
        return sum(len(name) + len(value) + 4 for name, value in self.headers)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to a client; `length` is the body's in bytes, None if it is not known before its end.

    `reuse_terms` say when an equal request may get the same answer again; None: never.
    """

    head: Head
    body: Body = field(default=EMPTY, compare=False)
    length: int | None = 0
    reuse_terms: ReuseTerms | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ReuseTerms:
    """When memory may give an answer again: while the key's version is unchanged, from `since` to `until`.

    Times are seconds since the epoch: at `born` the response had the age 0, at `expires` it becomes stale.
    `slot` is the place of the key's version, `version` its value. `varies` are all request fields that
    select among the entries of the key. `again`, if the answer is still being downloaded, joins another
    client to it: it takes the client's address and the Facts of its request, and returns None once that is
    no longer possible. Without `again` the answer is stored. Each time that it is given prolongs
    `until` and `expires` to `slide` seconds from then, up to `last`; 0: it does not. With a `readmission`,
    that decides first whether it is given.
    """

    entry: Entry
    slot: int
    version: int
    since: float
    until: float
    born: float
    expires: float
    varies: tuple[str, ...]
    slide: float = 0.0
    last: float = 0.0
    again: Callable[[str, Any], Response | None] | None = None
    readmission: Readmission | None = None


@dataclass(frozen=True, slots=True)
class Readmission:
    """Decides anew of each request whether it gets an answer that memory may give again.

    `decide` takes the client's IP address, the request's target and its header fields. It waits for
    nothing, and gives the fields of these `names` (in lower case) that the answer has for this request;
    None if a thread has to decide of it, as when it is refused.
    """

    decide: Callable[[str, str, Headers], tuple[tuple[str, str], ...] | None]
    names: frozenset[str]


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
