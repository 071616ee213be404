"""Where a request has its token, and the request without it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from urllib.parse import unquote_plus

from pyproxycache.messages import Headers, Request
from pyproxycache.route_options.introspection import BEARER, TokenPlace
from pyproxycache.url import Url

_SENDABLE = re.compile(r"[\x21-\x7e]{1,16384}")
_BEARER = re.compile(r"[ \t]*bearer(?:[ \t]+(.*?))?[ \t]*", re.IGNORECASE | re.DOTALL)


class SeveralTokens(Exception):
    """One place of the request has several tokens, of which others may read another one."""


def is_token(text: str) -> bool:
    """Whether the text has only characters of tokens (RFC 6749 appendix A.12), and not too many of them."""
    return _SENDABLE.fullmatch(text) is not None


def token_of(headers: Headers, query: str | None, places: Iterable[TokenPlace]) -> str | None:
    """The token in the first place of a request that has one, whatever it is made of; None without one.

    Raises SeveralTokens.
    """
    for place in places:
        found = set(filter(None, _tokens(headers, query, place)))
        if len(found) > 1:
            raise SeveralTokens
        if found:
            return found.pop()
    return None


def without_tokens(request: Request, places: Iterable[TokenPlace]) -> Request:
    """The request without what is in any of the places."""
    for place in places:
        if place.kind == "query":
            url = without_parameters(request.url, {place.name})
            request = request if url is request.url else replace(request, url=url)
        else:
            headers = request.headers
            lines = [(name, _kept(name, value, place)) for name, value in headers]
            changed = Headers([(name, value) for name, value in lines if value is not None])
            request = request if changed == headers else request.with_headers(changed)
    return request


def _tokens(headers: Headers, query: str | None, place: TokenPlace) -> Iterator[str]:
    if place.kind == "query":
        pairs = (query or "").split("&")
        yield from (value for name, value in map(_parameter, pairs) if name == place.name)
    elif place.kind == "cookie":
        for line in headers.lines("cookie"):
            yield from (value for name, value in map(_cookie, line.split(";")) if name == place.name)
    else:
        lines = headers.lines(place.name)
        yield from (_behind_bearer(line) for line in lines) if place == BEARER else map(str.strip, lines)


def _behind_bearer(line: str) -> str:
    found = _BEARER.fullmatch(line)
    return "" if found is None else found[1] or ""


def _cookie(pair: str) -> tuple[str, str]:
    name, _equals, value = pair.partition("=")
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return name.strip(), value


def _parameter(pair: str) -> tuple[str, str]:
    name, _equals, value = pair.partition("=")
    return unquote_plus(name), unquote_plus(value)


def _kept(name: str, value: str, place: TokenPlace) -> str | None:
    """What stays of a field's line; None if nothing does."""
    if place.kind == "cookie":
        return value if name.lower() != "cookie" else _rest(value, ";", place.name, _cookie)
    if name.lower() != place.name or (place == BEARER and _BEARER.fullmatch(value) is None):
        return value
    return None


def without_parameters(url: Url, names: AbstractSet[str]) -> Url:
    """The URL without the parameters of these names in its query."""
    for name in names:
        query = url.query
        rest = None if query is None else _rest(query, "&", name, _parameter)
        if rest != query:
            url = replace(url, target=url.path if rest is None else f"{url.path}?{rest}")
    return url


def _rest(text: str, mark: str, name: str, read: Callable[[str], tuple[str, str]]) -> str | None:
    """The text without the pairs of this name; None if there is nothing else in it."""
    pairs = text.split(mark)
    kept = [pair for pair in pairs if read(pair)[0] != name]
    if len(kept) == len(pairs):
        return text
    return mark.join(kept).strip() or None
