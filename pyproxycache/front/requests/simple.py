"""Parses simple request heads by a pattern: most are such; gunicorn parses the others."""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

from pyproxycache.messages import Headers

_LINE = re.compile(rb"((?:GET|HEAD)(?= (?:/|https?://))|CONNECT) ([!-~]+) HTTP/1\.([01])")
_FIELDS = re.compile(rb"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*)+\r\n\r\n")
"""All behind the request line of an unambiguous head (RFC 9112 section 5)."""

_OF_CONTENT = re.compile(
    rb"\n(?:content[^:a-z0-9]length|transfer[^:a-z0-9]encoding|expect):", re.IGNORECASE
)
"""A field that announces content, or a name that another server may take for one."""

_LONGEST_REMEMBERED = 4 << 10
_MOST_REMEMBERED = 256


class SimpleHead(NamedTuple):
    """The head of a GET, HEAD or CONNECT, parsed."""

    method: str
    target: str
    version: tuple[int, int]
    headers: Headers


class _Fields(NamedTuple):
    """The fields of a request; `longest` is the length of the longest line."""

    headers: Headers
    longest: int


def is_simple(head: bytes) -> bool:
    """Whether it is the whole, unambiguous head of a GET, HEAD or CONNECT request without content."""
    end = head.find(b"\r\n")
    return end > 0 and _LINE.fullmatch(head, 0, end) is not None and _fields(head[end:]) is not None


def simple_head(head: bytes, cfg: Any) -> SimpleHead | None:
    """The head, parsed; None if gunicorn has to parse it.

    That is also so if the head exceeds a limit in `cfg`, gunicorn's configuration.
    """
    end = head.find(b"\r\n")
    fields = _fields(head[end:]) if 0 < end <= cfg.limit_request_line else None
    if fields is None or fields.longest > cfg.limit_request_field_size:
        return None
    if len(fields.headers) > cfg.limit_request_fields:
        return None
    return simple_parts(head)


def simple_parts(head: bytes) -> SimpleHead | None:
    """The head, parsed whatever its size; None if it is not simple, or repeats a field."""
    end = head.find(b"\r\n")
    line = _LINE.fullmatch(head, 0, end) if end > 0 else None
    fields = None if line is None else _fields(head[end:])
    if line is None or fields is None:
        return None
    headers = fields.headers
    if len(headers.names()) < len(headers):
        return None  # gunicorn decides which fields may be repeated
    method, target, minor = line.groups()
    return SimpleHead(method.decode(), target.decode(), (1, int(minor)), headers)


def fields_of(head: bytes) -> Headers:
    """The fields of a simple head."""
    fields = _fields(head[head.index(b"\r\n") :])
    return Headers() if fields is None else fields.headers


def names_as_sent(head: bytes) -> dict[str, str]:
    """The names of a head's fields as sent, by those in upper case, which is all that gunicorn keeps."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.upper(): name for name, _colon, _value in map(_parts, lines)}


def _fields(behind: bytes) -> _Fields | None:
    """The fields behind a request line; None if they are not simple."""
    return _parsed(behind) if len(behind) > _LONGEST_REMEMBERED else _remembered(behind)


def _parsed(behind: bytes) -> _Fields | None:
    if _FIELDS.fullmatch(behind) is None or _OF_CONTENT.search(behind) is not None:
        return None
    lines = behind[2:-4].decode("latin-1").split("\r\n")
    headers = Headers((name, value.strip(" \t")) for name, _colon, value in map(_parts, lines))
    return _Fields(headers, max(map(len, lines)))


# A client sends the same fields with all that it asks for.
_remembered = functools.lru_cache(_MOST_REMEMBERED)(_parsed)


def _parts(line: str) -> tuple[str, str, str]:
    return line.partition(":")
