"""Cache-Control as values: the directives of a request and of a response (RFC 9111 section 5.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pyproxycache.messages import Headers
from pyproxycache.rules.grammar import MAX_DELTA, delta_seconds, split_list, split_parameter

Arguments = Mapping[str, list[str | None]]


@dataclass(frozen=True, slots=True)
class RequestDirectives:
    """What a request asks of caches (RFC 9111 section 5.2.1, RFC 5861); times in seconds."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    max_stale: int | None = None
    min_fresh: int | None = None
    stale_if_error: int | None = None


@dataclass(frozen=True, slots=True)
class ResponseDirectives:
    """What a response allows caches (RFC 9111 section 5.2.2, RFC 5861); times in seconds.

    `no_cache` and `private` are the unqualified forms; the fields named by the qualified ones are
    in `withheld`, in lower case.
    """

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_if_error: int | None = None
    withheld: frozenset[str] = frozenset()

    @property
    def must_validate(self) -> bool:
        """No use without asking the origin; an update by 304 can put no-store or private there too."""
        return self.no_cache or self.private or (self.no_store and not self.must_understand)

    @property
    def never_stale(self) -> bool:
        """No use past the freshness lifetime, not even for a failing origin (RFC 9111 section 4.2.4)."""
        return (
            self.must_validate or self.must_revalidate or self.proxy_revalidate or self.s_maxage is not None
        )


def request_directives(headers: Headers) -> RequestDirectives:
    """The request's directives; Pragma counts where there is no Cache-Control (RFC 9111 section 5.4)."""
    if "cache-control" in headers:
        return _request_directives(headers.lines("cache-control"))
    pragma = split_list(headers.get("pragma") or "")
    return RequestDirectives(no_cache="no-cache" in (item.lower() for item in pragma))


def response_directives(headers: Headers) -> ResponseDirectives:
    """The response's directives."""
    return _response_directives(headers.lines("cache-control"))


@lru_cache(maxsize=1024)
def _request_directives(lines: tuple[str, ...]) -> RequestDirectives:
    arguments = _arguments(lines)
    # max-stale without an argument takes any staleness.
    any_staleness = arguments.get("max-stale") == [None]
    return RequestDirectives(
        no_store="no-store" in arguments,
        no_cache="no-cache" in arguments,
        only_if_cached="only-if-cached" in arguments,
        max_age=_strictest(arguments, "max-age"),
        max_stale=MAX_DELTA if any_staleness else _strictest(arguments, "max-stale"),
        min_fresh=max((n for n in _seconds(arguments, "min-fresh") if n is not None), default=None),
        stale_if_error=_strictest(arguments, "stale-if-error"),
    )


@lru_cache(maxsize=1024)
def _response_directives(lines: tuple[str, ...]) -> ResponseDirectives:
    arguments = _arguments(lines)
    no_cache_fields = _field_names(arguments.get("no-cache", []))
    private_fields = _field_names(arguments.get("private", []))
    return ResponseDirectives(
        no_store="no-store" in arguments,
        no_cache=no_cache_fields is None,
        private=private_fields is None,
        public="public" in arguments,
        must_revalidate="must-revalidate" in arguments,
        proxy_revalidate="proxy-revalidate" in arguments,
        must_understand="must-understand" in arguments,
        max_age=_lifetime(arguments, "max-age"),
        s_maxage=_lifetime(arguments, "s-maxage"),
        stale_if_error=_strictest(arguments, "stale-if-error"),
        withheld=(no_cache_fields or frozenset()) | (private_fields or frozenset()),
    )


def _arguments(lines: Iterable[str]) -> Arguments:
    """Every directive's arguments in order; line by line, so that an open quote ends with its line."""
    arguments: dict[str, list[str | None]] = {}
    for line in lines:
        for item in split_list(line):
            if (parameter := split_parameter(item)) is not None:
                arguments.setdefault(parameter[0], []).append(parameter[1])
    return arguments


def _seconds(arguments: Arguments, name: str) -> list[int | None]:
    return [delta_seconds(text or "") for text in arguments.get(name, [])]


def _strictest(arguments: Arguments, name: str) -> int | None:
    """The smallest of the values, an invalid one being 0; None if there is none."""
    return min((seconds or 0 for seconds in _seconds(arguments, name)), default=None)


def _lifetime(arguments: Arguments, name: str) -> int | None:
    """The value; 0, which is stale, if it is invalid or there are several that differ.

    RFC 9111 section 4.2.1.
    """
    values = _seconds(arguments, name)
    if not values:
        return None
    return (values[0] or 0) if len(set(values)) == 1 else 0


def _field_names(values: list[str | None]) -> frozenset[str] | None:
    """The fields named by a qualified directive, none if it is absent; None if it is unqualified."""
    names = [frozenset(name.lower() for name in split_list(text or "")) for text in values]
    return None if not all(names) else frozenset().union(*names)
