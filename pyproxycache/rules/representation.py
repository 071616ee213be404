"""Whether two heads are of the same representation, so that their bytes may be joined."""

from __future__ import annotations

from pyproxycache.messages import Head
from pyproxycache.rules.freshness import date_of
from pyproxycache.rules.grammar import parse_content_range
from pyproxycache.rules.negotiation import content_codings
from pyproxycache.rules.validation import complete_length, strong_validator


def same_representation(
    known: Head, other: Head, length: int | None = None, *, answers_if_range: bool = False
) -> bool:
    """Whether both heads have the same strong validator, codings, type and complete length.

    `length` is the complete length, if `known` does not tell it. An answer to If-Range may leave out
    fields, except the entity tag (RFC 9110 sections 15.3.7 and 15.3.7.3). Content that is compressed for
    each request may differ under one strong tag, so both lengths have to be known if there are codings.
    """
    old_length, new_length = length or complete_length(known), complete_length(other)
    if None not in (old_length, new_length) and old_length != new_length:
        return False
    old_codings, new_codings = _codings(known), _codings(other)
    if (old_codings or new_codings) and None in (old_length, new_length):
        return False
    left_out = answers_if_range and "content-encoding" not in other.headers
    if old_codings != new_codings and not left_out:
        return False
    return _same_type(known, other) and _same_validator(known, other, answers_if_range)


def resumption_validator(head: Head) -> str | None:
    """The If-Range value to ask for more bytes of this representation; None if none could be joined.

    RFC 9110 section 13.1.5.
    """
    return None if _codings(head) and complete_length(head) is None else strong_validator(head)


def is_unmarked_part(head: Head) -> bool:
    """Whether the answer has a part's Content-Range but not status 206.

    RFC 9110 section 14.4 gives the field no meaning there; but some origins send parts in this way, which
    must not be taken for the whole.
    """
    if head.status in (206, 416) or "content-range" not in head.headers:
        return False
    span = parse_content_range(head.headers.get("content-range") or "")
    return span is not None and (span[0] != 0 or span[2] != span[1] + 1)


def _codings(head: Head) -> tuple[str, ...]:
    return content_codings(head.headers.get("content-encoding"))


def _same_type(one: Head, other: Head) -> bool:
    """Whether they have the same media type, or one of them does not tell its own."""
    types = [head.headers.get("content-type") for head in (one, other)]
    return None in types or len({"".join((text or "").lower().split()) for text in types}) == 1


def _same_validator(known: Head, other: Head, answers_if_range: bool) -> bool:
    validator = strong_validator(known)
    if validator is None or known.headers.get("etag") != other.headers.get("etag"):
        return False
    if not answers_if_range and validator != strong_validator(other):
        return False
    dates = [date_of(head.headers, "last-modified") for head in (known, other)]
    return None in dates or dates[0] == dates[1]
