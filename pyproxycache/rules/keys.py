"""URLs as they are parsed and normalised, and the request fields that select among the entries of a key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import quote

from pyproxycache.errors import BadRequest
from pyproxycache.messages import DEFAULT_PORTS, Authority, Entry, Headers, Request, Url
from pyproxycache.rules.freshness import recency
from pyproxycache.rules.grammar import split_list
from pyproxycache.rules.negotiation import canonical
from pyproxycache.rules.search_variance import equivalent

_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)")
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_NAME = re.compile(r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
_UNSENDABLE = re.compile(r"[^\x21-\x7e]")
_URL_CHARACTERS = "%/:?#[]@!$&'()*+,;=~-._"
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")

FORWARDED = ("x-forwarded-host", "x-forwarded-proto")
"""Fields that tell the origin the address that the client used; origins put it into their answers."""

OVERRIDING = frozenset(
    (
        "forwarded",
        *(f"x-forwarded-{part}" for part in ("host", "path", "port", "prefix", "proto", "protocol")),
        *(f"x-forwarded-{part}" for part in ("scheme", "server", "ssl", "uri", "url")),
        *("front-end-https", "x-host", "x-http-host-override", "x-original-host", "x-url-scheme"),
        *("x-original-uri", "x-original-url", "x-rewrite-url"),
        *("x-http-method", "x-http-method-override", "x-method-override"),
    )
)
"""Fields by which some origins take a request for one with another address, path or method.

They select the response, but few origins name them in Vary.
"""

_ADDRESS_IN_FORWARDED = re.compile(
    r"(?:^|[;,])[ \t]*+((?:host|proto)=(?:\"[^\"]*\"|[^\s;,\"]+))", re.IGNORECASE
)

_LONGEST_VARY = 2048
_MOST_VARY_NAMES = 64

CONTENT = "(content)"
"""Stands among field names for the content of a QUERY; it is no valid field name."""
OVERRIDES = "(overrides)"
"""Stands among field names for all fields of OVERRIDING together, so that there are few sets of names."""


def parse_url(text: str) -> Url:
    """Parse an absolute http or https URL; raises BadRequest, which says what is wrong with it.

    Scheme and host become lower case, IPv6 addresses lose their brackets, the fragment is dropped, an empty
    path becomes "/"; path and query stay as they were sent (RFC 9110 section 4.2).
    """
    if (unsendable := _UNSENDABLE.search(text)) is not None:
        raise BadRequest(f"the URL contains {unsendable[0]!a}, which has to be percent-encoded")
    match = _ABSOLUTE.match(text)
    if match is None:
        raise BadRequest("the URL is not absolute: it has to start with http:// or https://")
    scheme, authority, target = match[1].lower(), match[2], match[3]
    if scheme not in DEFAULT_PORTS:
        raise BadRequest(f"the URL's scheme is {scheme}: only http and https are served")
    try:
        host, port = _host_and_port(authority)
    except BadRequest as error:
        raise BadRequest(f"the URL is not accepted: {error}") from None
    if not target.startswith("/"):
        target = "/" + target
    return Url(scheme, host, DEFAULT_PORTS[scheme] if port is None else port, target)


def parse_authority(text: str) -> Authority:
    """Parse a host with its port, neither of which has a default; raises BadRequest.

    RFC 9112 section 3.2.3. A name becomes lower case, as in parse_url().
    """
    if (unsendable := _UNSENDABLE.search(text)) is not None:
        raise BadRequest(f"it contains {unsendable[0]!a}")
    host, port = _host_and_port(text)
    if port is None:
        raise BadRequest("it has no port")
    return Authority(host, port)


def sendable(text: str | bytes) -> str:
    """The URL (bytes, or text decoded as Latin-1) with invalid characters percent-encoded."""
    data = text.encode("latin-1") if isinstance(text, str) else text
    return quote(data, safe=_URL_CHARACTERS)


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise BadRequest("it carries a user name or password: send them as an Authorization field")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise BadRequest("its host and port cannot be told apart, or the port is not a number")
    port = int(match[2]) if match[2] else None
    if port is not None and not 1 <= port <= 65535:
        raise BadRequest(f"its port is {port}: it has to be from 1 to 65535")
    return _host(match[1].lower()), port


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            address = IPv6Address(text[1:-1])
        except AddressValueError:
            raise BadRequest("its host is in brackets but is no IPv6 address") from None
        if address.scope_id is not None:
            raise BadRequest("its IPv6 address has a zone, which means nothing here")
        return str(address)
    if not text:
        raise BadRequest("it has no host")
    if _NAME.fullmatch(text) is None:
        raise BadRequest("its host is no valid name or address")
    return text


def vary_fields(headers: Headers) -> tuple[str, ...] | None:
    """The names in Vary, lower case and sorted; None if no request can be known to select the response.

    That is so for "*", for members that are no field names, and for too many names (RFC 9110 section
    12.5.5).
    """
    vary = headers.get("vary")
    if vary is None:
        return ()
    if len(vary) > _LONGEST_VARY:
        return None
    names = {name.lower() for name in split_list(vary)}
    if len(names) > _MOST_VARY_NAMES:
        return None
    if "*" in names or not all(map(_FIELD_NAME.fullmatch, names)):
        return None
    return tuple(sorted(names))


def selecting_fields(request: Request, response_headers: Headers) -> tuple[str, ...] | None:
    """The names that select the response: those in Vary, the implied ones, and CONTENT first for a QUERY.

    None if Vary does not say what selects it, as from vary_fields().
    """
    fields = vary_fields(response_headers)
    if fields is None:
        return None
    if implied := implied_fields(request):
        fields = tuple(sorted({*fields, *implied}))
    return fields if request.content_key is None else (CONTENT, *fields)


def implied_fields(request: Request) -> frozenset[str]:
    """The names that select a response even if it does not name them in Vary.

    OVERRIDES if the request has such fields, and FORWARDED if the cache adds those.
    """
    implied = frozenset(FORWARDED if request.is_forwarded else ())
    return implied | {OVERRIDES} if _overrides(request) else implied


def _overrides(request: Request) -> str | None:
    """The request's fields of OVERRIDING as one text, without what differs for each client; None: none."""
    present = {name for name in OVERRIDING if name in request.headers}
    if request.is_forwarded:
        present -= {"forwarded", *FORWARDED}  # the cache sends its own
    values = {name: request.headers.get(name) or "" for name in sorted(present)}
    if "forwarded" in values:
        values["forwarded"] = ";".join(_ADDRESS_IN_FORWARDED.findall(values["forwarded"])).lower()
    return "\n".join(f"{name}: {value}" for name, value in values.items() if value) or None


def vary_values(fields: Sequence[str], request: Request) -> tuple[tuple[str, str | None], ...]:
    """The names with the request's normalised values, None for a field it lacks (RFC 9111 section 4.1)."""
    return tuple((name, _value(name, request)) for name in fields)


def _value(name: str, request: Request) -> str | None:
    if name == CONTENT:
        return request.content_key
    if name == OVERRIDES:
        return _overrides(request)
    value = request.headers.get(name)
    return None if value is None else canonical(name, value)


def select(entries: Sequence[Entry], key: str, request: Request) -> list[Entry]:
    """The entries that fit the request, of this key or of an equivalent one.

    RFC 9111 section 4.1; keys are equivalent by No-Vary-Search.
    """
    return preferred(
        [
            entry
            for entry in entries
            if fits(entry, request) and (entry.key == key or equivalent(entry.key, key, entry.headers))
        ]
    )


def preferred(fitting: list[Entry]) -> list[Entry]:
    """The entries with Vary if there are any, else all: some origins send Vary only if it mattered.

    RFC 9111 section 4.1.
    """
    implied = {CONTENT, OVERRIDES, *FORWARDED}
    return [
        entry for entry in fitting if any(name not in implied for name, _value in entry.vary)
    ] or fitting


def newest(entries: Sequence[Entry]) -> Entry | None:
    """The entry with the most recent Date (RFC 9111 section 4); None if there are no entries."""
    return max(entries, key=recency, default=None)


def of_same_content(entry: Entry, request: Request) -> bool:
    """Whether entry and request belong to a QUERY with the same content, or neither to a QUERY."""
    return dict(entry.vary).get(CONTENT) == request.content_key


def fits(entry: Entry, request: Request) -> bool:
    """Whether the request selects the entry: it has the same values of the entry's selecting fields."""
    fields = [name for name, _value in entry.vary]
    return (
        of_same_content(entry, request)
        and entry.vary == vary_values(fields, request)
        and implied_fields(request).issubset(fields)
    )
