"""Which bytes may be joined: what tells one representation from another, judged in one place."""

from __future__ import annotations

from pyproxycache.messages import Head
from pyproxycache.rules.freshness import date_of
from pyproxycache.rules.grammar import parse_content_range
from pyproxycache.rules.negotiation import content_codings
from pyproxycache.rules.validation import complete_length, strong_validator


def same_representation(
    known: Head, other: Head, length: int | None = None, *, answers_if_range: bool = False
) -> bool:
    """Whether bytes of both may be joined: strong validator, codings, type and complete length fit.

    `length` is the complete length of what is known, for a head that does not tell it. An answer to
    If-Range may leave out what the asker has, but for an entity tag (RFC 9110 sections 15.3.7 and
    15.3.7.3). Content that is coded on its way may differ each time under one tag, even a strong one: so
    of coded content both lengths have to be known.
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
    """The If-Range value that asks for more of the same bytes; None where nothing can be joined to them.

    RFC 9110 section 13.1.5.
    """
    return None if _codings(head) and complete_length(head) is None else strong_validator(head)


def is_cut(head: Head) -> bool:
    """Whether the answer says of itself to be a part without the status that parts have.

    RFC 9110 section 14.4 gives the field no meaning there; some origins send a part that way, which must
    not pass for the whole. It does where the field names all there is.
    """
    if head.status in (206, 416) or "content-range" not in head.headers:
        return False
    span = parse_content_range(head.headers.get("content-range") or "")
    return span is not None and (span[0] != 0 or span[2] != span[1] + 1)


def _codings(head: Head) -> tuple[str, ...]:
    return content_codings(head.headers.get("content-encoding"))


def _same_type(one: Head, other: Head) -> bool:
    """Whether they have one media type, as far as both tell it."""
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
