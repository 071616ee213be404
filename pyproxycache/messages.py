"""HTTP messages and stored responses: the vocabulary every other module speaks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Self

from pyproxycache.interest import Interest
from pyproxycache.login import Login

DEFAULT_PORTS = {"http": 80, "https": 443}

# Schemes that log in a connection, not a request (RFC 4559 section 5), in credentials and challenges.
_LOGS_IN = re.compile(r"(?:^|,)[ \t]*(?:ntlm|negotiate|nego2|kerberos)(?=[ \t,]|$)", re.IGNORECASE)


class Headers:
    """An immutable list of header fields, looked up without regard to case (RFC 9110 section 5)."""

    __slots__ = ("_index", "fields")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.fields: tuple[tuple[str, str], ...] = tuple(fields)
        index: dict[str, tuple[str, ...]] = {}
        repeated: dict[str, list[str]] = {}
        for name, value in self.fields:
            lower = name.lower()
            if lower in index:
                repeated.setdefault(lower, list(index[lower])).append(value)
            else:
                index[lower] = (value,)
        for lower, values in repeated.items():
            index[lower] = tuple(values)
        self._index = index

    def get(self, name: str) -> str | None:
        """The combined value: all lines of the field joined by ", " (RFC 9110 section 5.3)."""
        lines = self._index.get(name.lower())
        if lines is None:
            return None
        return lines[0] if len(lines) == 1 else ", ".join(lines)

    def lines(self, name: str) -> tuple[str, ...]:
        """The field's lines one by one, for fields that do not combine."""
        return self._index.get(name.lower(), ())

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._index

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
        """The field names present, in lower case."""
        return frozenset(self._index)

    def without(self, *names: str) -> Headers:
        """A copy that lacks the named fields."""
        return self.lacking({name.lower() for name in names})

    def lacking(self, names: AbstractSet[str]) -> Headers:
        """The same by names in lower case."""
        if names.isdisjoint(self._index):
            return self
        return Headers([field for field in self.fields if field[0].lower() not in names])

    def with_field(self, name: str, value: str) -> Headers:
        """A copy in which the field has exactly this one line."""
        lines = self._index.get(name.lower(), ())
        if lines == (value,):
            return self
        rest = self.without(name).fields if lines else self.fields
        return Headers((*rest, (name, value)))

    def with_line(self, name: str, value: str) -> Headers:
        """A copy with one more line of the field."""
        return Headers((*self.fields, (name, value)))


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https URL in parts; `target` is the path and query exactly as they were sent."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host, and port where it is not the scheme's default; IPv6 in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority, as the keys of everything there begin (RFC 9110 section 4.3.1)."""
        return f"{self.scheme}://{self.authority}"

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str | None:
        _path, mark, query = self.target.partition("?")
        return query if mark else None

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def without_query(url: str) -> str:
    """The URL as it may be logged: a query may carry secrets."""
    path, mark, _query = url.partition("?")
    return f"{path}?…" if mark else path


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Bytes of an open file, to be sent without passing through Python (sendfile)."""

    fd: int
    offset: int
    count: int

    def read(self) -> bytes:
        """The bytes themselves, for a receiver that cannot send from a file."""
        return os.pread(self.fd, self.count, self.offset)


Piece = bytes | FileSlice
"""A body is an iterable of pieces. One that need not wait for them in a thread has the method `take` too,
see store.flight."""


class WouldBlock(Exception):
    """The next piece of a body is only to be had by a thread that may wait for it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whichever way it came in."""

    method: str
    url: Url
    headers: Headers = field(default_factory=Headers)
    client: str = "127.0.0.1"
    version: tuple[int, int] = (1, 1)
    body: Iterable[bytes] | None = field(default=None, compare=False)
    ttl: float | None = None
    """Seconds that replace the freshness lifetime for this request (KissCache's ttl)."""
    content_key: str | None = None
    """What stands for a QUERY's content in the cache key: a digest of it, its type and its coding."""
    is_forwarded: bool = False
    """Whether its fields tell the origin what address the client used, which then selects the response."""
    interim: Callable[[Head], None] | None = field(default=None, compare=False)
    """Takes each interim head of the answer before the final one (RFC 9110 section 15.2)."""
    interest: Interest | None = field(default=None, compare=False)
    """That of the client who waits for the answer; None where nobody in particular does."""
    login: Login | None = field(default=None, compare=False)
    """Where the client's connection is logged in; None where no client's stands behind the request."""

    def with_headers(self, headers: Headers) -> Self:
        return self if headers is self.headers else replace(self, headers=headers)

    @property
    def logs_in(self) -> bool:
        """Whether its connection to the origin is one that is logged in, or that it logs in."""
        is_logged_in = self.login is not None and self.login.is_at(self.url.origin)
        return is_logged_in or _logs_in(self.headers, "authorization")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a response: what the caching rules look at."""

    status: int
    reason: str = ""
    headers: Headers = field(default_factory=Headers)

    @property
    def logs_in(self) -> bool:
        """Whether it is a step of logging in the connection it came over."""
        return _logs_in(self.headers, "www-authenticate") or _logs_in(self.headers, "proxy-authenticate")

    @property
    def size(self) -> int:
        """Bytes of its fields, as HTTP/1.1 writes them."""
        return sum(len(name) + len(value) + 4 for name, value in self.headers)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to a client; `length` is that of the body (bytes), None where its end will tell.

    `reuse_terms` is there where the next request of the same bytes may get it again.
    """

    head: Head
    body: Iterable[Piece] = field(default=(), compare=False)
    length: int | None = 0
    reuse_terms: ReuseTerms | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ReuseTerms:
    """Why the same answer is right again: while the key has that version, from `since` until `until`.

    Times are seconds since the epoch: the response was `born` when its Age was 0, and is fresh until it
    `expires`. `slot` is where the key's version is. `varies` are all request fields that select among
    what is stored for the key. `again` gives the answer of a download that runs to another client (its
    address, and the Outcome to fill in), None where it does so no more; without it the answer is stored.
    """

    entry: Entry
    slot: int
    version: int
    since: float
    until: float
    born: float
    expires: float
    varies: tuple[str, ...]
    again: Callable[..., Response | None] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `start` to `end`, both included, of a representation of `total` (None: not known)."""

    start: int
    end: int
    total: int | None

    @property
    def length(self) -> int:
        return self.end - self.start + 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored response: its head, its clocks, and where its body lies.

    Times are seconds since the epoch. `vary` holds the request fields named by Vary with their
    normalised values (RFC 9111 section 4.1); `ttl` is the shortest that requests asked for, and binds those
    that ask for one; `digest` is the body's sha256 in hex; `peer` is the
    address the response was read from. `part`: which bytes of the representation the body is, None
    for all. `groups` are its cache groups (RFC 9875). `search` is the key without its query where
    No-Vary-Search lets other queries find the entry, else empty.
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
    id: int = 0

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def headers(self) -> Headers:
        return self.head.headers

    @property
    def first_byte(self) -> int:
        """Where in the representation its body begins."""
        return 0 if self.part is None else self.part.start


def _logs_in(headers: Headers, name: str) -> bool:
    return any(_LOGS_IN.search(line) for line in headers.lines(name))
