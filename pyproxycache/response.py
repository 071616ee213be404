"""An answer to a client, and when memory may give it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pyproxycache.body import EMPTY, Body
from pyproxycache.messages import Entry, Head, Headers


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to a client; `length` is the body's in bytes, None if it is not known before its end.

    `reuse_terms` say when an equal request may get the same answer again; None: never. `refusal_terms` say
    that of an answer by which a request was refused.
    """

    head: Head
    body: Body = field(default=EMPTY, compare=False)
    length: int | None = 0
    reuse_terms: ReuseTerms | None = field(default=None, compare=False)
    refusal_terms: RefusalTerms | None = field(default=None, compare=False)

    def with_headers(self, headers: Headers) -> Self:
        """The answer with these header fields in place of its own."""
        return replace(self, head=self.head.with_headers(headers))

    def with_lines(self, fields: Iterable[tuple[str, str]]) -> Self:
        """The answer with these lines of header fields besides its own."""
        return self.with_headers(Headers((*self.head.headers, *fields)))


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

    `of` takes a target and header fields, and gives what decides of all requests with these by their
    clients' IP addresses. That waits for nothing, and gives the fields of these `names` (in lower case)
    that the answer has for this request; None if a thread has to decide of it, as when it is refused.
    """

    of: Callable[[str, Headers], Readmit]
    names: frozenset[str]


Readmit = Callable[[str], tuple[tuple[str, str], ...] | None]


def left_to_a_thread(_client: str) -> None:
    """Decide nothing, whoever the client is: a thread has to."""


@dataclass(frozen=True, slots=True)
class RefusalTerms:
    """When memory may give an answer again that has refused a request: while the same is `said` of others.

    `decide` takes the IP address of a client that sends the same request. It waits for nothing and counts
    nothing, and gives what the answer would say; None if a thread has to decide. `note` is called whenever
    the answer is given again.
    """

    said: object
    decide: Callable[[str], object | None]
    note: Callable[[], None]
