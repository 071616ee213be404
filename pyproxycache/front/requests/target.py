"""Request targets: the URL or the path of the cache that they mean (RFC 9112 section 3.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from urllib.parse import quote, unquote_to_bytes

from pyproxycache.errors import BadRequest, NotImplementedHere
from pyproxycache.messages import Authority, Url
from pyproxycache.rules.urls import parse_authority, parse_url, sendable
from pyproxycache.rules.userinfo import split_userinfo

_SERVER = re.compile(r"https?://[^/?#]+", re.IGNORECASE)
_ANY_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
# Clients that resolve links on a prefixed page fold "//" into one slash, and encode the colons.
_PREFIXED = re.compile(r"/(https?)(?::|%3A)/{1,2}(?!/)([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_ENCODED = re.compile(r"/(https?(?:%3A|:)(?:%2F){2}[^?]*)(\?.*)?", re.IGNORECASE | re.DOTALL)
_UPWARD = re.compile(r"(?:/|%2F)(?:\.|%2E){2}(?:[/\\;]|%2F|%5C|\Z)", re.IGNORECASE)
_ASCII = "".join(map(chr, range(128)))


class Way(Enum):
    """The form in which a client names the URL that it wants."""

    PROXY = "proxy"
    """The absolute URL, as clients of a proxy send it."""
    PREFIX = "prefix"
    """The URL as a path behind the cache's own address."""
    REVERSE = "reverse"
    """A path below the upstream of a reverse proxy."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The URL that a client wants; `userinfo` is the user and password in it, "" for none."""

    url: Url
    userinfo: str = ""
    way: Way = Way.PROXY


@dataclass(frozen=True, slots=True)
class Local:
    """A resource of the cache itself: path and query as they were sent."""

    path: str
    query: str


def with_ascii_target(data: bytes) -> bytes:
    """The data, which begins with a request line, with non-ASCII bytes of its target percent-encoded.

    Some clients send such bytes of a URL as they are; they mean the same (RFC 3986 section 2.1).
    """
    line, end, rest = data.partition(b"\n")
    words = line.split(b" ")
    if not end or len(words) != 3 or words[1].isascii():
        return data
    target = quote(words[1], safe=_ASCII).encode()
    return b" ".join((words[0], target, words[2])) + end + rest


def locate(target: str, upstream: Url | None, method: str = "GET") -> Wanted | Local:
    """The wanted URL, or the path of the cache itself, that a request target means.

    With an `upstream` (reverse proxy) each target means a URL below it. Raises BadRequest, and
    NotImplementedHere for a URL that is neither http nor https.
    """
    if method == "OPTIONS" and upstream is None and _SERVER.fullmatch(target):
        # The server as a whole is meant (RFC 9112 section 3.2.4).
        server = wanted_url(target)
        return replace(server, url=replace(server.url, target="*"))
    if upstream is not None:
        return _below(upstream, target)
    if _ABSOLUTE.match(target):
        return wanted_url(target)
    encoded = _ENCODED.fullmatch(target)
    if encoded:
        return decoded_url(encoded[1], (encoded[2] or ""))
    prefixed = _PREFIXED.fullmatch(target)
    if prefixed:
        scheme, authority, rest = prefixed.groups()
        return wanted_url(f"{scheme}://{_with_colons(authority)}{rest}", Way.PREFIX)
    if target.startswith("/") or target == "*":
        path, _, query = target.partition("?")
        return Local(path, query)
    if _ANY_SCHEME.match(target):
        raise NotImplementedHere(f"{target.partition(':')[0]} URLs: this proxy speaks http and https")
    raise BadRequest("the request-target is neither a path nor an http or https URL")


def is_for_proxy(method: str, target: str) -> bool:
    """Whether the request is one to a proxy: for a tunnel, or with a whole URL as its target."""
    return method == "CONNECT" or _ANY_SCHEME.match(target) is not None


def tunnel_end(target: str) -> Authority:
    """The host and port of a CONNECT's target (RFC 9112 section 3.2.3); raises BadRequest."""
    try:
        return parse_authority(target)
    except BadRequest as error:
        raise BadRequest(f"CONNECT takes a host and a port, as in example.org:443: {error}") from None


def wanted_url(text: str, way: Way = Way.PROXY) -> Wanted:
    """The wanted URL by its text, which may have userinfo; raises BadRequest if it is invalid."""
    url, userinfo = split_userinfo(text)
    return Wanted(parse_url(url), userinfo, way)


def decoded_url(text: str, rest: str = "") -> Wanted:
    """The wanted URL that is percent-encoded as a whole; characters that no URL has stay encoded."""
    return wanted_url(sendable(unquote_to_bytes(text)) + rest, Way.PREFIX)


def quoted_url(text: str) -> Wanted:
    """The wanted URL in a field decoded as Latin-1; characters that no URL has are encoded."""
    return wanted_url(sendable(text))


def _with_colons(authority: str) -> str:
    """The authority with the colons that separate its parts, where a client encoded them."""
    userinfo, at, host = authority.rpartition("@")
    if ":" not in userinfo:
        userinfo = re.sub("%3A", ":", userinfo, count=1, flags=re.IGNORECASE)
    return f"{userinfo}{at}{re.sub('%3A', ':', host, flags=re.IGNORECASE)}"


def _below(upstream: Url, target: str) -> Wanted:
    userinfo = ""
    if _ABSOLUTE.match(target):
        absolute = wanted_url(target)
        target, userinfo = absolute.url.target, absolute.userinfo
    if not target.startswith("/"):
        if target != "*":
            raise BadRequest("the request-target is not a path")
        target = "/"
    target = target.partition("#")[0]
    base = upstream.target.rstrip("/")
    if base and _UPWARD.search(target.partition("?")[0]):
        raise BadRequest("the path leads out of what this proxy stands for")
    url = Url(upstream.scheme, upstream.host, upstream.port, base + target)
    return Wanted(url, userinfo, Way.REVERSE)
