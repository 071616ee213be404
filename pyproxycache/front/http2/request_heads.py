"""The fields of requests in HTTP/2, as the head of the same request in HTTP/1.1 (RFC 9113 section 8.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from pyproxycache.front.http2.faults import ErrorCode, StreamFault
from pyproxycache.front.requests.ingress import Ingress

Field = tuple[bytes, bytes]

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*")
_PATH = re.compile(rb"/[!-~\x80-\xff]*|\*")
_AUTHORITY = re.compile(rb"([0-9A-Za-z._~!$&'()*+,;=%-]+|\[[0-9A-Fa-fvV:.]+\])(?::[0-9]*)?")
_LOGS_IN = re.compile(rb"(?:ntlm|negotiate|nego2|kerberos)(?: |\Z)", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,19}")
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path"))
_OF_CONNECTIONS = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"http2-settings")
)


class RequestHead(NamedTuple):
    """The head of a request in HTTP/1.1; `length` is its Content-Length, None if it has none.

    `is_chunked`: it announces content in chunks.
    """

    head: bytes
    method: bytes
    length: int | None
    is_chunked: bool


def request_head(fields: Iterable[Field], ingress: Ingress, server_name: str, *, ends: bool) -> RequestHead:
    """The head of the request with these fields; `ends`: there is no content.

    `server_name` is the one by which the client has connected, "" if it did not say. Raises StreamFault for
    what another server may take for something else (RFC 9113 section 8.2 and 8.3).
    """
    pseudo, regular = _parted(fields)
    method = pseudo.get(b":method", b"")
    _check(_METHOD, method, "the method")
    authority = _authority(pseudo, regular)
    if method == b"CONNECT":
        if pseudo.keys() != {b":method", b":authority"}:
            _malformed("a CONNECT takes a method and an authority, and nothing else")
        target = authority
    else:
        target = _target(pseudo, authority, ingress, server_name)
    length = _length(regular, ends=ends)
    is_chunked = not ends and length is None and method != b"CONNECT"
    lines = [b"%b %b HTTP/1.1" % (method, target), b"host: " + authority]
    lines += [b"%b: %b" % field for field in regular if field[0] not in (b"host", b"cookie")]
    cookies = [value for name, value in regular if name == b"cookie"]
    if cookies:
        lines.append(b"cookie: " + b"; ".join(cookies))  # RFC 9113 section 8.2.3
    if is_chunked:
        lines.append(b"transfer-encoding: chunked")
    return RequestHead(b"\r\n".join(lines) + b"\r\n\r\n", method, length, is_chunked)


def check_trailers(fields: Iterable[Field]) -> None:
    """Raise StreamFault if these fields cannot stand behind content."""
    pseudo, _regular = _parted(fields)
    if pseudo:
        _malformed("a pseudo-header field in trailers")


def _parted(fields: Iterable[Field]) -> tuple[dict[bytes, bytes], list[Field]]:
    """The pseudo-header fields, and the others, each of which is well-formed by itself."""
    pseudo: dict[bytes, bytes] = {}
    regular: list[Field] = []
    for name, value in fields:
        _check(_VALUE, value, "a field's value")
        if name.startswith(b":"):
            if regular or name in pseudo or name not in _PSEUDO:
                _malformed("a pseudo-header field that is unknown, repeated, or behind others")
            pseudo[name] = value
            continue
        _check(_NAME, name, "a field's name")
        if name == b"authorization" and _LOGS_IN.match(value):
            # It authenticates a connection (RFC 4559 section 5), and one stream is none.
            raise StreamFault(ErrorCode.HTTP_1_1_REQUIRED, "credentials of a connection")
        if name in _OF_CONNECTIONS or (name == b"te" and value.lower() != b"trailers"):
            _malformed(f"the field {name.decode()}, which is of connections in HTTP/1.1")
        regular.append((name, value))
    return pseudo, regular


def _authority(pseudo: dict[bytes, bytes], regular: list[Field]) -> bytes:
    hosts = {value.lower() for name, value in regular if name == b"host"}
    authority = pseudo.get(b":authority")
    if authority is None:
        lines = [value for name, value in regular if name == b"host"]
        authority = lines[0] if len(lines) == 1 else b""
    elif hosts - {authority.lower()}:
        _malformed("Host and :authority disagree")
    _check(_AUTHORITY, authority, "the authority")
    return authority


def _target(pseudo: dict[bytes, bytes], authority: bytes, ingress: Ingress, server_name: str) -> bytes:
    """The request-target: a path of the server that the client has connected to, or a URL for a proxy."""
    scheme, path = pseudo.get(b":scheme", b""), pseudo.get(b":path", b"")
    _check(_SCHEME, scheme, "the scheme")
    _check(_PATH, path, "the path")
    if path == b"*" and pseudo[b":method"] != b"OPTIONS":
        _malformed("the path *, which is only for OPTIONS")
    if _names_server(scheme, authority, ingress, server_name):
        return path
    return b"%b://%b%b" % (scheme, authority, b"" if path == b"*" else path)


def _names_server(scheme: bytes, authority: bytes, ingress: Ingress, server_name: str) -> bool:
    """Whether the URL is one of the server that the client has connected to, and not for a proxy."""
    if scheme.lower() != ingress.scheme.encode():
        return False
    if ingress.origin is not None or not server_name:
        return True
    host = _AUTHORITY.sub(rb"\1", authority)
    return host.lower().removesuffix(b".") == server_name.lower().removesuffix(".").encode()


def _length(regular: list[Field], *, ends: bool) -> int | None:
    """The length that Content-Length tells; None if there is none."""
    lines = [value for name, value in regular if name == b"content-length"]
    if not lines:
        return None
    if len(lines) > 1:
        _malformed("more than one Content-Length")
    _check(_LENGTH, lines[0], "the Content-Length")
    length = int(lines[0])
    if ends and length:
        _malformed("a Content-Length where no content follows")
    return length


def _check(pattern: re.Pattern[bytes], text: bytes, what: str) -> None:
    if pattern.fullmatch(text) is None:
        _malformed(f"{what} is missing, or has characters that it must not have")


def _malformed(text: str) -> NoReturn:
    raise StreamFault(ErrorCode.PROTOCOL_ERROR, text)
