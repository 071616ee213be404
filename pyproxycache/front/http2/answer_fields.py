"""Heads of answers in HTTP/1.1, as field blocks of HTTP/2 (RFC 9113 section 8.3.2, RFC 7541)."""

from __future__ import annotations

import functools
from typing import NamedTuple

from hpack.table import HeaderTable

_MOST_REMEMBERED = 1024
_LONGEST_REMEMBERED = 4 << 10
_STATIC = {field: index for index, field in enumerate(HeaderTable.STATIC_TABLE, 1)}
_STATIC_NAMES = {name: index for (name, _value), index in reversed(_STATIC.items())}
_OF_CONNECTIONS = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te")
)
_LITERAL, _NEVER_INDEXED = 0x00, 0x10
_SENSITIVE = b"set-cookie"


class AnswerFields(NamedTuple):
    """A head as a field block; `length` is its Content-Length, None if it has none."""

    status: int
    block: bytes
    length: int | None


def answer_fields(head: bytes) -> AnswerFields:
    """The fields of a head in HTTP/1.1, which ends with its empty line.

    The block does not depend on what was sent before, so that it fits every connection; no field enters the
    client's dynamic table.
    """
    return _made(head) if len(head) > _LONGEST_REMEMBERED else _remembered(head)


def _made(head: bytes) -> AnswerFields:
    status_line, *lines = head[:-4].split(b"\r\n")
    status = status_line[9:12]
    length = None
    pieces = [_encoded(b":status", status)]
    for line in lines:
        name, _colon, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name in _OF_CONNECTIONS:
            continue
        if name == b"content-length":
            length = int(value)
        pieces.append(_encoded(name, value))
    return AnswerFields(int(status), b"".join(pieces), length)


# An answer from memory has the same head for a second.
_remembered = functools.lru_cache(_MOST_REMEMBERED)(_made)


def _encoded(name: bytes, value: bytes) -> bytes:
    """A field as it stands in a block: by its place in the static table, or in full (RFC 7541)."""
    whole = _STATIC.get((name, value))
    if whole is not None:
        return _integer(0x80, 7, whole)
    representation = _NEVER_INDEXED if name == _SENSITIVE else _LITERAL
    index = _STATIC_NAMES.get(name)
    if index is not None:
        return _integer(representation, 4, index) + _text(value)
    return bytes((representation,)) + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    return _integer(0, 7, len(text)) + text


def _integer(pattern: int, bits: int, number: int) -> bytes:
    """A number behind the pattern of a first byte, which leaves so many bits (RFC 7541 section 5.1)."""
    most = (1 << bits) - 1
    if number < most:
        return bytes((pattern | number,))
    octets, number = [pattern | most], number - most
    while number >= 0x80:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*octets, number))
