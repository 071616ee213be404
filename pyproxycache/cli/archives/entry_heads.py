"""Heads of stored responses as archives have them: JSON, which says all of an entry but its body."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

import msgspec

from pyproxycache.errors import BadRequest
from pyproxycache.messages import Entry, Head, Headers, Part
from pyproxycache.rules.urls import parse_url

LARGEST_BODY = 1 << 44
"""The most bytes of a body, or of the representation that it is a part of."""

_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNLIKE_EXPORT = "is not as export writes it"
_LATEST = 1e11  # seconds: what is later is no time, but a mistake

_Time = Annotated[float, msgspec.Meta(ge=0, le=_LATEST)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_BODY)]
# What the wire can have: each character is a byte, and none of them controls anything.
_Text = Annotated[str, msgspec.Meta(pattern=r"^[\t\x20-\x7e\x80-\xff]*\Z")]


class _PartHead(msgspec.Struct):
    start: _Count
    end: _Count
    total: _Count | None


class _EntryHead(msgspec.Struct):
    """An entry as an archive has it; names and values are those of Entry."""

    key: str
    status: Annotated[int, msgspec.Meta(ge=200, le=599)]
    reason: Annotated[str, msgspec.Meta(pattern=r"^[\x01-\x09\x0b\x0c\x0e-\xff]*\Z")]
    fields: list[tuple[str, _Text]]
    request_time: _Time
    response_time: _Time
    vary: list[tuple[str, str | None]]
    digest: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size: _Count
    ttl: _Time | None = None
    peer: str = ""
    part: _PartHead | None = None
    groups: list[str] = []
    search: str = ""


def head_of(entry: Entry) -> bytes:
    """The entry as JSON."""
    part = entry.part
    head = _EntryHead(
        key=entry.key,
        status=entry.status,
        reason=entry.head.reason,
        fields=list(entry.headers.fields),
        request_time=entry.request_time,
        response_time=entry.response_time,
        vary=list(entry.vary),
        digest=entry.digest,
        size=entry.size,
        ttl=entry.ttl,
        peer=entry.peer,
        part=None if part is None else _PartHead(part.start, part.end, part.total),
        groups=list(entry.groups),
        search=entry.search,
    )
    return msgspec.json.encode(head)


def entry_of(content: bytes, name: str) -> Entry:
    """The entry in the member of this name; raises ValueError if a cache could not have stored it."""
    try:
        packed = msgspec.json.decode(content, type=_EntryHead)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} {_UNLIKE_EXPORT}: {error}") from None
    try:
        _check(packed)
    except (BadRequest, ValueError) as error:
        raise ValueError(f"the head of {packed.key[:200]!a} {_UNLIKE_EXPORT}: {error}") from None
    part = packed.part
    return Entry(
        key=packed.key,
        head=Head(packed.status, packed.reason, Headers(packed.fields)),
        request_time=packed.request_time,
        response_time=packed.response_time,
        vary=tuple(packed.vary),
        digest=packed.digest,
        size=packed.size,
        ttl=packed.ttl,
        peer=packed.peer,
        part=None if part is None else Part(part.start, part.end, part.total),
        groups=tuple(packed.groups),
        search=packed.search,
    )


def _check(packed: _EntryHead) -> None:
    """Raise ValueError, or BadRequest for the URL, about what the types of its values do not tell."""
    url, part = parse_url(packed.key), packed.part
    if packed.peer:
        ip_address(packed.peer)
    if any(not _FIELD.fullmatch(name) for name, _value in packed.fields):
        raise ValueError("a field has no valid name")
    if packed.status == 304 or (packed.status == 206 and part is None):
        raise ValueError(f"its status, {packed.status}, is none that is stored")
    if part is not None and not (
        part.start <= part.end
        and part.end - part.start + 1 == packed.size
        and (part.total is None or part.end < part.total)
    ):
        raise ValueError("it is a part of another size than its body")
    if str(url) != packed.key or (packed.search and not packed.key.startswith(packed.search)):
        raise ValueError("its URL is not in normal form")
