"""Request targets: the URL or the path of the cache that they mean (RFC 9112 section 3.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from urllib.parse import quote, unquote_to_bytes

from pyproxycache.errors import BadRequest, Misdirected, NotImplementedHere
from pyproxycache.rules.urls import host_and_port, parse_authority, parse_url, sendable
from pyproxycache.rules.userinfo import split_userinfo
from pyproxycache.url import Authority, Url, leads_upward

_SERVER = re.compile(r"https?://[^/?#]+", re.IGNORECASE)
_ANY_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
# Clients that resolve links on a prefixed page fold "//" into one slash, and encode the colons.
_PREFIXED = re.compile(r"/(https?)(?::|%3A)/{1,2}(?!/)([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_ENCODED = re.compile(r"/(https?(?:%3A|:)(?:%2F){2}[^?]*)(\?.*)?", re.IGNORECASE | re.DOTALL)
_ASCII = "".join(map(chr, range(128)))


class Way(Enum):
    """The form in which a client names the URL that it wants."""

    PROXY = "proxy"
    """The absolute URL, as clients of a proxy send it."""
    PREFIX = "prefix"
    """The URL as a path behind the cache's own address."""
    REVERSE = "reverse"
    """A path below the upstream of a reverse proxy."""

    ROUTE = "route"
    """A path of a gateway's route."""
    INSTEAD = "instead"
    """A path of the origin that the cache stands in for, by whose name the client has connected."""


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
    has_empty_query: bool = False

    @property
    def target(self) -> str:
        """Path and query in one; an empty query is another one than none (RFC 3986 section 6.2.3)."""
        return f"{self.path}?{self.query}" if self.query or self.has_empty_query else self.path


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
        return wanted_url(f"{scheme}://{with_colons(authority)}{rest}", Way.PREFIX)
    if target.startswith("/") or target == "*":
        return _local(target)
    if _ANY_SCHEME.match(target):
        raise NotImplementedHere(f"{target.partition(':')[0]} URLs: this proxy speaks http and https")
    raise BadRequest("the request-target is neither a path nor an http or https URL")


def local_of(target: str) -> Local:
    """The path that a request to a gateway names, also by a whole URL (RFC 9112 section 3.2.2).

    Raises BadRequest.
    """
    if _ABSOLUTE.match(target):
        target = wanted_url(target).url.target
    elif not target.startswith("/") and target != "*":
        raise BadRequest("the request-target is not a path")
    return _local(target.partition("#")[0])


def host_in(target: str) -> str:
    """The host, and port, in a target that is a whole URL; "" in others. Raises BadRequest."""
    return wanted_url(target).url.authority if _ABSOLUTE.match(target) else ""


def _local(target: str) -> Local:
    path, mark, query = target.partition("?")
    return Local(path, query, has_empty_query=bool(mark) and not query)


def locate_instead(target: str, host: str, origin: Url) -> Wanted:
    """The wanted URL of the origin that the cache stands in for; `host` is the Host field, "" for none.

    Raises Misdirected if another origin is meant (RFC 9110 section 7.4), and BadRequest.
    """
    userinfo = ""
    if _ANY_SCHEME.match(target):
        absolute = wanted_url(target)
        if absolute.url.origin != origin.origin:
            raise _misdirected(absolute.url.origin, origin)
        target, userinfo = absolute.url.target, absolute.userinfo
    elif not target.startswith("/") and target != "*":
        raise BadRequest("the request-target is not a path")
    if host:
        name, port = host_and_port(host)
        # Without a port the connection's is meant: not all clients say it.
        if name.removesuffix(".") != origin.host or port not in (None, origin.port):
            raise _misdirected(host, origin)
    return Wanted(replace(origin, target=target.partition("#")[0]), userinfo, Way.INSTEAD)


def locate_redirected(target: str, host: str, destination: Authority) -> Wanted:
    """The wanted URL on a redirected connection in plain HTTP; `host` is the Host field, "" for none.

    Its host is the one that the request names, else the address, and its port that of the destination,
    unless the request names another one. Raises Misdirected for an https URL, and BadRequest.
    """
    if _ABSOLUTE.match(target):
        # An origin has to take that form, too (RFC 9112 section 3.2.2); Host is ignored then.
        wanted = wanted_url(target)
        if wanted.url.scheme == "http":
            return replace(wanted, way=Way.INSTEAD)
        raise misdirected_to_proxy(wanted.url, destination)
    if not target.startswith("/") and target != "*":
        raise BadRequest("the request-target is not a path")
    name, port = host_and_port(host) if host else (destination.host, None)
    url = Url("http", name, port or destination.port, target.partition("#")[0])
    return Wanted(url, way=Way.INSTEAD)


def misdirected_to_proxy(url: Url, destination: Authority) -> Misdirected:
    """The error for a request with a whole URL, redirected from where that URL is not."""
    return Misdirected(
        f"the request is for {url.origin}, and its connection was made to {destination}: if that is a "
        "proxy, connections to it are not to be redirected"
    )


def _misdirected(named: str, origin: Url) -> Misdirected:
    return Misdirected(f"the request is for {named}, and its connection was made to {origin.origin}")


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


def with_colons(authority: str) -> str:
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
    if base and leads_upward(target.partition("?")[0]):
        raise BadRequest("the path leads out of what this proxy stands for")
    url = Url(upstream.scheme, upstream.host, upstream.port, base + target)
    return Wanted(url, userinfo, Way.REVERSE)
