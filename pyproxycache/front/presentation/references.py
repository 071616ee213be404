"""References in a response's fields, rewritten for clients that did not ask for the origin's own URL.

Stored responses keep the origin's references; each answer is rewritten on its way out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, urljoin

from pyproxycache.errors import BadRequest
from pyproxycache.messages import Head, Headers
from pyproxycache.rules.urls import parse_url
from pyproxycache.rules.userinfo import split_userinfo
from pyproxycache.url import Url

Address = Callable[[str], str | None]
"""Takes an absolute URL; gives the reference that leads clients there by the cache, None if none does."""

_MAPPED = frozenset({"location", "content-location", "refresh", "link", "set-cookie"})
# More than an honest page has; each takes some time.
_MOST_LINKS = 1000
_HTTP = re.compile(r"https?://", re.IGNORECASE)
# Seconds, and what to load then (the "shared declarative refresh steps" of HTML).
_REFRESH = re.compile(r"\s*[0-9.]+[;,\s]+(?:url\s*=\s*)?(?P<quote>[\"']?)", re.IGNORECASE)
# A link's target, or its context in a parameter; other quoted strings may hold anything (RFC 8288).
_LINK = re.compile(
    r"(<)([^<>]*)(>)|(;\s*anchor\s*=\s*\")([^\"]*)(\")|\"(?:\\.|[^\"\\])*\\?(?:\"|\Z)",
    re.IGNORECASE | re.DOTALL,
)


def as_it_is(head: Head) -> Head:
    """The head unchanged, for clients that asked for the origin's own URL."""
    return head


def mapped(head: Head, base: Url, address: Address, cookie: Callable[[str], str | None]) -> Head:
    """The head with references that lead clients through the cache.

    `base` is the URL that relative references are resolved against. Those without an address stay, as do
    links after the first thousand. `cookie` rewrites a Set-Cookie; None leaves it out.
    """
    if _MAPPED.isdisjoint(head.headers.names()):
        return head

    def shown(reference: str) -> str:
        try:
            absolute = urljoin(str(base), reference.strip())
        except ValueError:
            return reference
        found = address(absolute) if _HTTP.match(absolute) else None
        return reference if found is None else found

    links = iter(range(_MOST_LINKS))

    def linked(reference: str) -> str:
        return reference if next(links, None) is None else shown(reference)

    fields = []
    for name, value in head.headers:
        show = linked if name.lower() == "link" else shown
        found = cookie(value) if name.lower() == "set-cookie" else _value(name.lower(), value, show)
        if found is not None:
            fields.append((name, found))
    return Head(head.status, head.reason, Headers(fields))


def _value(name: str, value: str, shown: Callable[[str], str]) -> str:
    match name:
        case "location" | "content-location":
            return shown(value)
        case "refresh" if (found := _REFRESH.match(value)) is not None:
            reference, quote_sign, end = value[found.end() :].strip(), found["quote"], ""
            if quote_sign:
                reference, end, _rest = reference.partition(quote_sign)
            return f"{found[0]}{shown(reference)}{end}" if reference else value
        case "link":
            return _LINK.sub(lambda found: _link(found, shown), value)
    return value


def _link(found: re.Match[str], shown: Callable[[str], str]) -> str:
    begin, reference, end = (found[1], found[2], found[3]) if found[1] else (found[4], found[5], found[6])
    return f"{begin}{shown(reference)}{end}" if begin else found[0]


def behind_prefix(base: Url, userinfo: str) -> Address:
    """Addresses for clients that put the URL behind the cache's address, as paths of the cache.

    A path works with any name and port that the client knows the cache by. The `userinfo` that the client
    wrote is added to references to the same origin, as clients themselves do.
    """

    def address(url: str) -> str:
        scheme, _colon, rest = url.partition("://")
        if userinfo and _origin(url) == base.origin:
            return f"/{scheme}://{userinfo}@{rest}"
        return f"/{url}"

    return address


def below_upstream(upstream: Url, prefix: str = "") -> Address:
    """Addresses for a reverse proxy's clients: URLs below the upstream, as paths behind the prefix."""
    base = upstream.target.rstrip("/")

    def address(url: str) -> str | None:
        plain, hash_sign, fragment = split_userinfo(url)[0].partition("#")
        if _origin(plain) != upstream.origin:
            return None
        found = parse_url(plain)
        if not f"{found.path}/".startswith(f"{base}/"):
            return None
        path = found.target[len(base) :]
        if not path.startswith("/"):
            path = f"/{path}"
        # Two slashes at the beginning would name another host (RFC 3986 section 4.2), and browsers take a
        # backslash for one.
        path = f"/.{path}" if path.startswith(("//", "/\\")) else path
        return f"{prefix}{path}{hash_sign}{fragment}"

    return address


def through_kisscache(fetch: str) -> Address:
    """Addresses for KissCache's clients; `fetch` is the path and query up to the URL in it."""
    return lambda url: f"{fetch}{quote(url.partition('#')[0], safe='')}"


def _origin(url: str) -> str | None:
    """The URL's origin; None if it is no valid http or https URL, or has userinfo."""
    try:
        return parse_url(url).origin
    except BadRequest:
        return None
