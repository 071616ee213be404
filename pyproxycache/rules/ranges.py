"""Range requests for bytes: which part is asked for, how one is answered, and continued (RFC 9110)."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum
from typing import Final

from pyproxycache.messages import Head, Headers, Part
from pyproxycache.rules.freshness import date_of
from pyproxycache.rules.grammar import http_date, parse_content_range, split_list
from pyproxycache.rules.validation import complete_length, strong_date, strong_validator

__all__ = [
    "UNSATISFIABLE",
    "WHOLE",
    "Unsatisfiable",
    "Whole",
    "continues",
    "parse_content_range",
    "part_headers",
    "requested_start",
    "select_range",
    "unsatisfiable_head",
]

_UNIT = re.compile(r"bytes[ \t]*=", re.IGNORECASE)
_SPEC = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


class Whole(Enum):
    """The type of WHOLE: no part is asked for that can be given, so the answer is the whole."""

    WHOLE = "whole"


class Unsatisfiable(Enum):
    """The type of UNSATISFIABLE: the part asked for lies outside, so the answer is 416."""

    UNSATISFIABLE = "unsatisfiable"


WHOLE: Final = Whole.WHOLE
UNSATISFIABLE: Final = Unsatisfiable.UNSATISFIABLE


def select_range(request_headers: Headers, head: Head, total: int | None) -> Part | Whole | Unsatisfiable:
    """What a GET with these headers gets of a stored response of `total` bytes (None: not yet known).

    Other units, several ranges, invalid syntax and an If-Range that does not hold give the whole
    (RFC 9110 sections 13.1.5 and 14.2).
    """
    span = _single_range(request_headers)
    if span is None or total is None or head.status != 200 or not _if_range_holds(request_headers, head):
        return WHOLE
    first, last = span
    if first is None:
        # A suffix of nothing is all of it, which Content-Range cannot say.
        if total == 0 and last:
            return WHOLE
        return Part(max(0, total - last), total - 1, total) if last else UNSATISFIABLE
    if first >= total:
        return UNSATISFIABLE
    return Part(first, total - 1 if last is None else min(last, total - 1), total)


def requested_start(request_headers: Headers) -> int | None:
    """The first byte position of a single range; None for a suffix, for several, and for no range."""
    span = _single_range(request_headers)
    return None if span is None else span[0]


def part_headers(head: Head, part: Part) -> Head:
    """The head of the 206 that answers with this part (RFC 9110 section 15.3.7)."""
    headers = head.headers.with_field("Content-Length", str(part.length))
    headers = headers.with_field("Content-Range", f"bytes {part.start}-{part.end}/{part.total}")
    return replace(head, status=206, reason="Partial Content", headers=headers)


def unsatisfiable_head(total: int) -> Head:
    """The head of the 416 for a representation of `total` bytes (RFC 9110 section 15.5.17)."""
    fields = (("Content-Range", f"bytes */{total}"), ("Content-Length", "0"))
    return Head(416, "Range Not Satisfiable", Headers(fields))


def continues(head_206: Head, validator_head: Head, offset: int) -> bool:
    """Whether the answer to `Range: bytes=offset-` goes on with the bytes that validator_head began.

    It does if it starts right there, in a representation of the same length with the same strong
    validator (RFC 9110 section 15.3.7.3).
    """
    span = parse_content_range(head_206.headers.get("content-range") or "")
    if head_206.status != 206 or span is None or span[0] != offset:
        return False
    known = complete_length(validator_head)
    if known is not None and span[2] is not None and known != span[2]:
        return False
    return _same_validator(validator_head, head_206)


def _same_validator(old_head: Head, new_head: Head) -> bool:
    if strong_validator(old_head) is None:
        return False
    old_tag, new_tag = old_head.headers.get("etag"), new_head.headers.get("etag")
    old_date = date_of(old_head.headers, "last-modified")
    new_date = date_of(new_head.headers, "last-modified")
    # A 206 has to carry the tag a 200 would have; Last-Modified may be left out after If-Range.
    return old_tag == new_tag and (new_date is None or old_date is None or old_date == new_date)


def _single_range(request_headers: Headers) -> tuple[int | None, int | None] | None:
    """First and last position as written; (None, n) for the last n bytes; None if not one valid range."""
    text = request_headers.get("range") or ""
    unit = _UNIT.match(text)
    specs = split_list(text[unit.end() :]) if unit is not None else []
    match = _SPEC.fullmatch(specs[0]) if len(specs) == 1 else None
    if match is None or match[0] == "-":
        return None
    first = int(match[1]) if match[1] else None
    last = int(match[2]) if match[2] else None
    if first is not None and last is not None and last < first:
        return None
    return first, last


def _if_range_holds(request_headers: Headers, head: Head) -> bool:
    condition = request_headers.get("if-range")
    if condition is None:
        return True
    condition = condition.strip(" \t")
    date = http_date(condition)
    if date is not None:
        return date == strong_date(head)
    # A weak tag is never equal to a strong validator (RFC 9110 section 8.8.3.2).
    return condition == strong_validator(head)
