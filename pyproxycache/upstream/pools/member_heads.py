"""Heads of members' answers, as if the first member had given them."""

from __future__ import annotations

from pyproxycache.messages import Head, Headers
from pyproxycache.url import Url

_REFERENCES = frozenset({"location", "content-location"})


def as_of_pool(head: Head, member: Url, first: Url) -> Head:
    """The head with references to the member as ones to the first one, whose URL its answers have.

    A part without a strong entity tag loses its date: two members may have made different files in one
    second, whose parts must not be joined.
    """
    fields = head.headers.fields
    if head.status == 206 and not _is_strong(head.headers.get("etag")):
        fields = tuple(field for field in fields if field[0].lower() != "last-modified")
    if member != first and not _REFERENCES.isdisjoint(head.headers.names()):
        fields = tuple(
            (name, _moved(value, member, first) if name.lower() in _REFERENCES else value)
            for name, value in fields
        )
    return head if fields == head.headers.fields else head.with_headers(Headers(fields))


def without_range_by_date(headers: Headers) -> Headers:
    """A request's fields, without a range that depends on a date: the whole is asked for instead."""
    condition = headers.get("if-range")
    if condition is None or _is_strong(condition):
        return headers
    return headers.without("If-Range", "Range")


def _is_strong(etag: str | None) -> bool:
    return etag is not None and etag.startswith('"')


def _moved(reference: str, member: Url, first: Url) -> str:
    rest = reference.strip().removeprefix(member.origin)
    is_of_member = rest != reference.strip() and (not rest or rest[0] in "/?#")
    return f"{first.origin}{rest}" if is_of_member else reference
