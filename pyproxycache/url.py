"""URLs and authorities as values, whoever has parsed them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

DEFAULT_PORTS = {"http": 80, "https": 443}

# Segments that lead upwards, also where an origin decodes them or takes a backslash for a slash.
_UPWARD = re.compile(r"(?:[/\\]|%2F|%5C)(?:\.|%2E){2}(?:[/\\;]|%2F|%5C|%3B|\Z)", re.IGNORECASE)


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
        return query_of(self.target)

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def query_of(target: str) -> str | None:
    """The query in a request's target as it was sent; None if there is none."""
    _path, mark, query = target.partition("?")
    return query if mark else None


def origin_of(url: str) -> str:
    """The origin (scheme and authority) with which a URL or a cache key begins (RFC 9110 section 4.3.1)."""
    return "/".join(url.split("/", 3)[:3])


def leads_upward(path: str) -> bool:
    """Whether an origin may take the path for another one further up, in whatever way it reads paths."""
    return _UPWARD.search(path) is not None


def without_query(url: str) -> str:
    """The URL for a log: its query, which may carry secrets, is replaced by "…"."""
    path, mark, _query = url.partition("?")
    return f"{path}?…" if mark else path
