"""Requests of the operator, read strictly: what is not plain is refused."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from pyproxycache import clock
from pyproxycache.errors import BadRequest

_LONGEST_HEAD = 16 << 10
_LONGEST_CONTENT = 64 << 10
_MOST_PARAMETERS = 1000
_PIECE = 16 << 10
_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_LENGTH = re.compile(r"[0-9]{1,9}")
_FORM = "application/x-www-form-urlencoded"
# Which line counts would be for the reader to choose.
_ONCE = ("host", "content-length", "authorization", "content-type", "origin")


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """A request: `peer` is the IP address that it came from, "" by a Unix socket.

    The names of `fields` are in small letters.
    """

    method: str
    path: str
    parameters: Mapping[str, list[str]]
    fields: Mapping[str, str]
    peer: str


def read_request(sock: socket.socket, peer: str, until: float) -> AdminRequest | None:
    """Read a request whole, in the time that there is (monotonic seconds); None if none was begun.

    Raises BadRequest for what is none, and OSError.
    """
    head, content = _head(sock, until)
    if not head:
        return None
    line, *lines = head.split(b"\r\n")
    found = _LINE.fullmatch(line)
    if found is None:
        raise BadRequest("this is no request line: METHOD /PATH HTTP/1.1 is accepted")
    fields = _fields(lines)
    if found[3] == b"1" and "host" not in fields:
        raise BadRequest("a request of HTTP/1.1 has a Host field")
    path, _, query = found[2].decode().partition("?")
    content = _content(sock, fields, content, until)
    if content and fields.get("content-type", _FORM).partition(";")[0].strip().lower() != _FORM:
        raise BadRequest(f"Content-Type: only {_FORM} is understood")
    given = "&".join(filter(None, (query, content.decode("latin-1"))))
    try:
        parameters = parse_qs(given, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        raise BadRequest(f"these are more than {_MOST_PARAMETERS} parameters") from error
    return AdminRequest(found[1].decode(), path, parameters, fields, peer)


def _head(sock: socket.socket, until: float) -> tuple[bytes, bytes]:
    """The head, and what came behind it; both are empty if the connection was closed before."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > _LONGEST_HEAD:
            raise BadRequest(f"the head is longer than {_LONGEST_HEAD} bytes")
        piece = _received(sock, until)
        if not piece:
            if data.strip():
                raise BadRequest("the request has no end")
            return b"", b""
        data += piece
    return data[:end], data[end + 4 :]


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise BadRequest("a line of the head is no field")
        name = found[1].decode().lower()
        if name in fields and name in _ONCE:
            raise BadRequest(f"the field {name} stands there twice")
        fields[name] = found[2].decode("latin-1").rstrip(" \t")
    if "transfer-encoding" in fields:
        raise BadRequest("Transfer-Encoding: content is taken with a Content-Length alone")
    return fields


def _content(sock: socket.socket, fields: Mapping[str, str], begun: bytes, until: float) -> bytes:
    """The content, whose beginning may have come with the head."""
    said = fields.get("content-length", "0")
    if not _LENGTH.fullmatch(said) or int(said) > _LONGEST_CONTENT:
        raise BadRequest(f"Content-Length: up to {_LONGEST_CONTENT} bytes are accepted")
    length = int(said)
    while len(begun) < length:
        piece = _received(sock, until)
        if not piece:
            raise BadRequest("the content is shorter than its Content-Length")
        begun += piece
    return begun[:length]


def _received(sock: socket.socket, until: float) -> bytes:
    left = until - clock.steady()
    if left <= 0:
        raise TimeoutError("the request takes too long")
    sock.settimeout(left)
    return sock.recv(_PIECE)
