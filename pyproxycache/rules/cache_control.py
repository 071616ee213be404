"""Cache-Control as values: the directives of a request and of a response (RFC 9111 section 5.2).

A response's can come from a targeted field in Cache-Control's place (RFC 9213).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pyproxycache.messages import Headers
from pyproxycache.rules.grammar import (
    MAX_DELTA,
    cached_while_short,
    delta_seconds,
    split_list,
    split_parameter,
)
from pyproxycache.rules.structured import Member, Token, parse_dictionary

Arguments = Mapping[str, list[str | None]]

_TIMES = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})
_QUALIFIABLE = frozenset({"no-cache", "private"})
_PERMISSIONS = frozenset({"public", "immutable", "must-understand"})


@dataclass(frozen=True, slots=True)
class RequestDirectives:
    """The cache directives of a request (RFC 9111 section 5.2.1, RFC 5861); times in seconds."""

    no_store: bool = False
    no_cache: bool = False
    no_transform: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    max_stale: int | None = None
    min_fresh: int | None = None
    stale_if_error: int | None = None


@dataclass(frozen=True, slots=True)
class ResponseDirectives:
    """The cache directives of a response (RFC 9111 section 5.2.2, RFC 5861, RFC 8246); times in seconds.

    `no_cache` and `private` are true for the forms without field names; the fields that the other forms
    name are in `withheld`, in lower case. `targeted` is true if the directives come from a targeted field:
    Cache-Control, Expires and Pragma are ignored then.
    """

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    no_transform: bool = False
    immutable: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int | None = None
    stale_if_error: int | None = None
    withheld: frozenset[str] = frozenset()
    targeted: bool = False

    @property
    def must_validate(self) -> bool:
        """Whether each use has to be validated; no-store and private may come later, by a 304."""
        return self.no_cache or self.private or (self.no_store and not self.must_understand)

    @property
    def never_stale(self) -> bool:
        """Whether it must not be used stale, not even while the origin fails (RFC 9111 section 4.2.4)."""
        return (
            self.must_validate or self.must_revalidate or self.proxy_revalidate or self.s_maxage is not None
        )


_NOTHING_ASKED = RequestDirectives()


def request_directives(headers: Headers) -> RequestDirectives:
    """The directives of a request; Pragma counts only without Cache-Control (RFC 9111 section 5.4)."""
    if "cache-control" in headers:
        return _request_directives(headers.lines("cache-control"))
    pragma = headers.get("pragma")
    if pragma is None:
        return _NOTHING_ASKED
    return RequestDirectives(no_cache="no-cache" in (item.lower() for item in split_list(pragma)))


def response_directives(headers: Headers, targets: tuple[str, ...] = ()) -> ResponseDirectives:
    """The directives of a response: from the first valid field in `targets`, else from Cache-Control.

    `targets` are names of targeted fields in lower case (RFC 9213 section 2.2).
    """
    for name in targets:
        text = headers.get(name)
        directives = None if text is None else _targeted_directives(text)
        if directives is not None:
            return directives
    return _response_directives(headers.lines("cache-control"))


@cached_while_short
def _request_directives(lines: tuple[str, ...]) -> RequestDirectives:
    arguments = _arguments(lines)
    # max-stale without an argument accepts any staleness.
    any_staleness = arguments.get("max-stale") == [None]
    return RequestDirectives(
        no_store="no-store" in arguments,
        no_cache="no-cache" in arguments,
        no_transform="no-transform" in arguments,
        only_if_cached="only-if-cached" in arguments,
        max_age=_strictest(arguments, "max-age"),
        max_stale=MAX_DELTA if any_staleness else _allowed(arguments, "max-stale"),
        min_fresh=max((n for n in _seconds(arguments, "min-fresh") if n is not None), default=None),
        stale_if_error=_strictest(arguments, "stale-if-error"),
    )


@cached_while_short
def _response_directives(lines: tuple[str, ...]) -> ResponseDirectives:
    return _response_directives_of(_arguments(lines))


@cached_while_short
def _targeted_directives(text: str) -> ResponseDirectives | None:
    """The directives of a targeted field; None if it is empty or not a dictionary."""
    members = parse_dictionary(text)
    if not members:
        return None
    return replace(_response_directives_of(_targeted_arguments(members)), targeted=True)


def _response_directives_of(arguments: Arguments) -> ResponseDirectives:
    no_cache, no_cache_fields = _field_names(arguments.get("no-cache", []))
    private, private_fields = _field_names(arguments.get("private", []))
    return ResponseDirectives(
        no_store="no-store" in arguments,
        no_cache=no_cache,
        private=private,
        public="public" in arguments,
        must_revalidate="must-revalidate" in arguments,
        proxy_revalidate="proxy-revalidate" in arguments,
        must_understand="must-understand" in arguments,
        no_transform="no-transform" in arguments,
        immutable="immutable" in arguments,
        max_age=_lifetime(arguments, "max-age"),
        s_maxage=_lifetime(arguments, "s-maxage"),
        stale_while_revalidate=_allowed(arguments, "stale-while-revalidate"),
        stale_if_error=_strictest(arguments, "stale-if-error"),
        withheld=no_cache_fields | private_fields,
    )


def _targeted_arguments(members: Mapping[str, Member]) -> Arguments:
    """The directives of a targeted field, whose values are typed (RFC 9213 section 2.1).

    A value of the wrong type makes a time invalid and a permission void; a prohibition stays in force.
    """
    arguments: dict[str, list[str | None]] = {}
    for name, (value, _parameters) in members.items():
        if name in _TIMES:
            arguments[name] = [str(value) if type(value) is int else ""]
        elif name in _QUALIFIABLE and isinstance(value, str | Token):
            arguments[name] = [str(value)]
        elif value is True or (value is not False and name not in _PERMISSIONS):
            arguments[name] = [None]
    return arguments


def _arguments(lines: Iterable[str]) -> Arguments:
    """The arguments of each directive in order; an unclosed quote ends with its line."""
    arguments: dict[str, list[str | None]] = {}
    for line in lines:
        for item in split_list(line):
            if (parameter := split_parameter(item)) is not None:
                arguments.setdefault(parameter[0], []).append(parameter[1])
    return arguments


def _seconds(arguments: Arguments, name: str) -> list[int | None]:
    return [delta_seconds(text or "") for text in arguments.get(name, [])]


def _allowed(arguments: Arguments, name: str) -> int | None:
    """The smallest value; None, which allows nothing, if there is no value or an invalid one."""
    values = [seconds for seconds in _seconds(arguments, name) if seconds is not None]
    return min(values, default=None) if len(values) == len(arguments.get(name, [])) else None


def _strictest(arguments: Arguments, name: str) -> int | None:
    """The smallest value, where an invalid one is 0; None if there is no value."""
    return min((seconds or 0 for seconds in _seconds(arguments, name)), default=None)


def _lifetime(arguments: Arguments, name: str) -> int | None:
    """The value in seconds, None if there is none; 0, which is stale, if it is invalid or values differ.

    RFC 9111 section 4.2.1.
    """
    values = _seconds(arguments, name)
    if not values:
        return None
    return (values[0] or 0) if len(set(values)) == 1 else 0


def _field_names(values: list[str | None]) -> tuple[bool, frozenset[str]]:
    """Whether one of the arguments names no field, which means all of them, and the fields named."""
    names = [frozenset(name.lower() for name in split_list(text or "")) for text in values]
    return not all(names), frozenset().union(*names)
