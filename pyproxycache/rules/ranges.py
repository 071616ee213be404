"""Byte ranges: which are asked for, the heads that answer them, and continued bodies (RFC 9110)."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum
from typing import Final

from pyproxycache.messages import Head, Headers, Part
from pyproxycache.rules.grammar import http_date, parse_content_range, split_list
from pyproxycache.rules.representation import same_representation
from pyproxycache.rules.validation import strong_date, strong_validator

_UNIT = re.compile(r"bytes[ \t]*=", re.IGNORECASE)
_SPEC = re.compile(r"([0-9]*)-([0-9]*)")

_MOST_SPECS = 64

# Bytes, about, that a part of a multipart answer costs besides its content (RFC 9110 section 15.3.7.2).
_PART_OVERHEAD = 80

# No file is that long; larger positions are treated as this one.
_BEYOND = 10**18

# These fields describe the bytes of one message, not of the representation (RFC 9530 section 2).
_OF_THE_CONTENT = ("Content-Digest", "Content-MD5")

Spec = tuple[int | None, int | None]
"""First and last byte position; (first, None) to the end, (None, n) the last n bytes."""


class Whole(Enum):
    """The type of WHOLE: the answer is the whole representation."""

    WHOLE = "whole"


class Unsatisfiable(Enum):
    """The type of UNSATISFIABLE: all ranges lie outside the representation, so the answer is 416."""

    UNSATISFIABLE = "unsatisfiable"


WHOLE: Final = Whole.WHOLE
UNSATISFIABLE: Final = Unsatisfiable.UNSATISFIABLE

Selected = tuple[Part, ...] | Whole | Unsatisfiable


def select_ranges(request_headers: Headers, head: Head, total: int | None) -> Selected:
    """The parts that a GET with these headers gets of a representation of `total` bytes (None: unknown).

    They are in the order asked for; parts that overlap or lie close are joined. The answer is WHOLE for
    other units, invalid syntax, too many ranges and an If-Range that does not hold (RFC 9110 sections
    13.1.5, 14.2 and 15.3.7.2).
    """
    specs = range_specs(request_headers)
    if not specs or total is None or head.status != 200 or not if_range_holds(request_headers, head):
        return WHOLE
    parts = [part for first, last in specs if (part := _part(first, last, total)) is not None]
    if parts:
        return _coalesced(parts)
    # A suffix of an empty representation is satisfiable, but Content-Range cannot say so.
    if total == 0 and any(first is None and last for first, last in specs):
        return WHOLE
    return UNSATISFIABLE


def range_specs(request_headers: Headers) -> tuple[Spec, ...]:
    """The byte ranges in Range; empty if it is absent, invalid, or has too many.

    RFC 9110 sections 14.1.1, 14.1.2 and 14.2.
    """
    text = request_headers.get("range")
    if text is None:
        return ()
    unit = _UNIT.match(text)
    members = split_list(text[unit.end() :]) if unit is not None else []
    if len(members) > _MOST_SPECS:
        return ()
    specs = [_spec(member) for member in members]
    return tuple(spec for spec in specs if spec is not None) if None not in specs else ()


def answers_range(request_headers: Headers, part: Part) -> bool:
    """Whether the part has the first byte of the one range asked for; always true for several ranges.

    If it has not, its Content-Range cannot be trusted.
    """
    specs = range_specs(request_headers)
    if len(specs) != 1:
        return True
    first, _last = specs[0]
    if first is None:
        return part.total is None or part.end + 1 == part.total
    return part.start <= first <= part.end


def if_range_holds(request_headers: Headers, head: Head) -> bool:
    """Whether If-Range, if there is one, lets Range count for this head (RFC 9110 section 13.1.5)."""
    condition = request_headers.get("if-range")
    if condition is None:
        return True
    condition = condition.strip(" \t")
    date = http_date(condition)
    if date is not None:
        return date == strong_date(head)
    # A weak tag is never equal to a strong validator (RFC 9110 section 8.8.3.2).
    return condition == strong_validator(head)


def part_headers(head: Head, part: Part) -> Head:
    """The head of the 206 that answers with this part (RFC 9110 section 15.3.7.1)."""
    partial = _partial(head, part.length)
    return replace(partial, headers=partial.headers.with_field("Content-Range", content_range(part)))


def multipart_headers(head: Head, boundary: str, length: int) -> Head:
    """The head of a 206 with several parts and a body of `length` bytes (RFC 9110 section 15.3.7.2)."""
    partial = _partial(head, length)
    media_type = f"multipart/byteranges; boundary={boundary}"
    headers = partial.headers.without("Content-Range").with_field("Content-Type", media_type)
    return replace(partial, headers=headers)


def range_text(start: int, end: int | None) -> str:
    """The Range value for the bytes from `start` to `end`, both included (None: to the last byte)."""
    return f"bytes={start}-{'' if end is None else end}"


def content_range(part: Part) -> str:
    """The Content-Range value of the part (RFC 9110 section 14.4)."""
    total = "*" if part.total is None else part.total
    return f"bytes {part.start}-{part.end}/{total}"


def part_length(head: Head) -> int | None:
    """The length of the part in a 206 by its Content-Range (bytes); None for any other head."""
    span = parse_content_range(head.headers.get("content-range") or "") if head.status == 206 else None
    return None if span is None else span[1] - span[0] + 1


def unsatisfiable_head(total: int) -> Head:
    """The head of the 416 for a representation of `total` bytes (RFC 9110 section 15.5.17)."""
    fields = (("Content-Range", f"bytes */{total}"), ("Content-Length", "0"))
    return Head(416, "Range Not Satisfiable", Headers(fields))


def continues(head_206: Head, known: Head, offset: int, length: int | None = None) -> bool:
    """Whether the answer to `Range: bytes=offset-` with If-Range continues the known body.

    It does if it starts at the offset and is of the same representation. `length` is the complete length,
    if `known` does not tell it.
    """
    span = parse_content_range(head_206.headers.get("content-range") or "")
    if head_206.status != 206 or span is None or span[0] != offset:
        return False
    return same_representation(known, head_206, length, answers_if_range=True)


def _spec(text: str) -> Spec | None:
    """One range of the Range value; None if it is invalid."""
    match = _SPEC.fullmatch(text)
    if match is None or match[0] == "-":
        return None
    first, last = match[1].lstrip("0"), match[2].lstrip("0")
    # As text, since int() refuses thousands of digits.
    if match[1] and match[2] and (len(last), last) < (len(first), first):
        return None
    return _position(first) if match[1] else None, _position(last) if match[2] else None


def _position(digits: str) -> int:
    return _BEYOND if len(digits) > 18 else int(digits or "0")


def _part(first: int | None, last: int | None, total: int) -> Part | None:
    """The part of a representation of `total` bytes that the range names; None if it is unsatisfiable."""
    if first is None:
        first, last = total - min(last or 0, total), None
    end = total - 1 if last is None else min(last, total - 1)
    return Part(first, end, total) if first <= end else None


def _coalesced(parts: list[Part]) -> tuple[Part, ...]:
    """The parts, joined where they overlap or lie close; a joined one stands where its first one stood."""
    merged: list[tuple[int, Part]] = []
    for place, part in sorted(enumerate(parts), key=lambda item: item[1].start):
        if merged and part.start <= merged[-1][1].end + _PART_OVERHEAD:
            first_place, before = merged.pop()
            joined = replace(before, end=max(before.end, part.end))
            merged.append((min(first_place, place), joined))
        else:
            merged.append((place, part))
    return tuple(part for _place, part in sorted(merged, key=lambda item: item[0]))


def _partial(head: Head, length: int) -> Head:
    headers = head.headers.without(*_OF_THE_CONTENT).with_field("Content-Length", str(length))
    return replace(head, status=206, reason="Partial Content", headers=headers)
