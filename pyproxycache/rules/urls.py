"""URLs and authorities, parsed and normalised (RFC 9110 section 4.2)."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote

from pyproxycache.errors import BadRequest
from pyproxycache.url import DEFAULT_PORTS, Authority, Url

_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)")
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_NAME = re.compile(r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")
# A name that resolvers read as an IPv4 address (inet_aton): numbers, of which the last fills what is left.
_NUMBERS = re.compile(r"(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+)){0,3}")
_UNSENDABLE = re.compile(r"[^\x21-\x7e]")
_URL_CHARACTERS = "%/:?#[]@!$&'()*+,;=~-._"


def parse_url(text: str) -> Url:
    """Parse an absolute http or https URL; raises BadRequest, which says what is wrong with it.

    Scheme and host become lower case, addresses have one form, IPv6 ones lose their brackets, the fragment
    is dropped, an empty path becomes "/"; path and query stay as they were sent (RFC 9110 section 4.2).
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
        host, port = host_and_port(authority)
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
    host, port = host_and_port(text)
    if port is None:
        raise BadRequest("it has no port")
    return Authority(host, port)


def sendable(text: str | bytes) -> str:
    """The URL (bytes, or text decoded as Latin-1) with invalid characters percent-encoded."""
    data = text.encode("latin-1") if isinstance(text, str) else text
    return quote(data, safe=_URL_CHARACTERS)


def host_and_port(authority: str) -> tuple[str, int | None]:
    """The host in lower case, and the port or None if there is none; raises BadRequest.

    Addresses have one form, as what is said of hosts counts for an address however a client writes it.
    """
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
        return str(address.ipv4_mapped or address)
    if not text:
        raise BadRequest("it has no host")
    if _NAME.fullmatch(text) is None:
        raise BadRequest("its host is no valid name or address")
    return _of_numbers(text) or text


def _of_numbers(name: str) -> str | None:
    """The IPv4 address that a name of numbers means; None if it means none."""
    if _NUMBERS.fullmatch(name) is None:
        return None
    try:
        *first, last = (_number(part) for part in name.split("."))
    except ValueError:
        return None
    if any(part > 255 for part in first) or last >> 8 * (4 - len(first)):
        return None
    return str(IPv4Address(sum(part << 8 * (3 - place) for place, part in enumerate(first)) + last))


def _number(text: str) -> int:
    """A number in hexadecimal, octal or decimal; raises ValueError."""
    if text.startswith("0x"):
        return int(text, 16)
    return int(text, 8 if text.startswith("0") else 10)
