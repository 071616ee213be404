"""Validators, conditional requests, freshening by a 304, and invalidation by unsafe methods."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urljoin

from pyproxycache.errors import BadRequest
from pyproxycache.messages import Entry, Head, Headers
from pyproxycache.rules.freshness import date_of
from pyproxycache.rules.grammar import end_to_end, format_http_date, http_date, parse_content_range
from pyproxycache.rules.negotiation import content_codings
from pyproxycache.rules.urls import parse_url, sendable
from pyproxycache.url import Url

_VALIDATING = frozenset({"if-none-match", "if-modified-since"})
_CONDITIONALS = _VALIDATING | {"if-match", "if-unmodified-since", "if-range", "range"}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "QUERY", "TRACE"})
_ENTITY_TAG = re.compile(r'(?:W/)?"[^"]*"')

# Fields that describe the stored bytes, which a 304 does not change, and Vary, by which the entry was
# stored. The entity tag stays as well: servers that compress content make it weak, but not in a 304.
_NOT_UPDATED = frozenset(
    {
        "content-digest",
        "content-encoding",
        "content-length",
        "content-md5",
        "content-range",
        "digest",
        "repr-digest",
        "vary",
    }
)

# Seconds between Last-Modified and Date that make the former a strong validator.
_STRONG_AFTER = 60.0


def validators(head: Head) -> tuple[tuple[str, str], ...]:
    """The fields that make a request validate a response with this head; empty if it has no validator.

    RFC 9111 section 4.3.1. Only a 2xx is a representation that a 304 can be about. Last-Modified alone is
    not used if it equals Date: a second change in that second would not show (RFC 9110 section 8.8.2.2).
    """
    if not 200 <= head.status < 300:
        return ()
    fields = []
    etag, modified = _etag(head), date_of(head.headers, "last-modified")
    if etag:
        fields.append(("If-None-Match", etag))
    if modified is not None and (etag or modified != date_of(head.headers, "date")):
        fields.append(("If-Modified-Since", head.headers.lines("last-modified")[0]))
    return tuple(fields)


def strip_conditionals(headers: Headers) -> Headers:
    """The fields without preconditions and Range (RFC 9110 sections 13.1 and 14.2)."""
    return headers.lacking(_CONDITIONALS)


def strip_validators(headers: Headers) -> Headers:
    """The fields without If-None-Match and If-Modified-Since."""
    return headers.lacking(_VALIDATING)


def freshen(entry: Entry, head_304: Head, request_time: float, response_time: float) -> Entry:
    """The entry with the fields and times of a 304 (RFC 9111 sections 3.2 and 4.3.4).

    Times are seconds since the epoch.
    """
    kept_fields = _NOT_UPDATED if _may_add_tag(entry.head, head_304) else _NOT_UPDATED | {"etag"}
    update = [field for field in end_to_end(head_304.headers) if field[0].lower() not in kept_fields]
    if date_of(head_304.headers, "date") is None:
        update = [field for field in update if field[0].lower() != "date"]
        update.append(("Date", format_http_date(response_time)))
    # The Age of the old response does not apply to the new one.
    kept = entry.headers.without("Age", *(name for name, _value in update))
    head = entry.head.with_headers(Headers((*kept, *update)))
    return replace(entry, head=head, request_time=request_time, response_time=response_time)


def _may_add_tag(old_head: Head, new_head: Head) -> bool:
    """Whether an entry without an entity tag gets that of the 304: not a strong one, which claims more."""
    new = _etag(new_head)
    return _etag(old_head) is None and new is not None and not _is_strong(new)


def matches_304(entry: Entry, head_304: Head) -> bool:
    """Whether the 304 is about this entry, the only one that the request named (RFC 9111 section 4.3.4).

    Then a 304 without a validator is, and one with a strong tag for the weak one that was sent, as origins
    use weak comparison.
    """
    new, old = _etag(head_304), _etag(entry.head)
    if new is not None and old is not None:
        if _opaque(new) != _opaque(old):
            return False
        dated = date_of(entry.headers, "last-modified") is not None
        strengthened = _is_strong(new) and new != old
        return not (strengthened and dated and _other_modification(entry.head, head_304))
    if new is not None and _is_strong(new):
        return strong_date(entry.head) is not None and _same_modification(entry.head, head_304)
    if "last-modified" in head_304.headers:
        return _same_modification(entry.head, head_304)
    return new is None


def strong_tag(head: Head) -> str | None:
    """The entity tag if it is strong, and so of one representation only (RFC 9110 section 8.8.1)."""
    tag = _etag(head)
    return tag if tag is not None and _is_strong(tag) else None


def named_by_304(entries: Sequence[Entry], head_304: Head) -> Entry | None:
    """The first entry whose strong entity tag the 304 has; None if there is none."""
    tag = strong_tag(head_304)
    return None if tag is None else next((e for e in entries if strong_tag(e.head) == tag), None)


def describes(entry: Entry, head: Head) -> bool | None:
    """Whether the 200 to a HEAD is about the stored response; None if that cannot be told.

    Validators are compared, and lengths if the codings are the same (RFC 9111 section 4.3.5). A length of 0
    may mean that the server does not know it.
    """
    old_tag, new_tag = _etag(entry.head), _etag(head)
    if new_tag is not None and (old_tag is None or _opaque(old_tag) != _opaque(new_tag)):
        return False
    if "last-modified" in head.headers and _other_modification(entry.head, head):
        return False
    length = complete_length(head)
    if length == 0 != entry.size:
        return True if {"etag", "last-modified"} & head.headers.names() else None
    coded_alike = _codings(entry.head) == _codings(head)
    return length is None or length == entry.size or not coded_alike


def states_same_digest(old_head: Head, new_head: Head) -> bool:
    """Whether both heads state the same digest of a manifest (OCI distribution, Docker-Content-Digest)."""
    old = old_head.headers.get("docker-content-digest")
    return old is not None and old == new_head.headers.get("docker-content-digest")


def is_not_modified(request_headers: Headers, entry_head: Head, now: float) -> bool:
    """Whether a GET or HEAD is answered 304 from the stored response (RFC 9111 section 4.3.2).

    `now` (seconds since the epoch) stands in for a missing Last-Modified and Date.
    """
    if entry_head.status != 200:
        return False
    condition = request_headers.get("if-none-match")
    if condition is not None:
        etag = _etag(entry_head)
        listed = {_opaque(tag) for tag in _ENTITY_TAG.findall(condition)}
        # Tags without quotes, invalid but in use, are compared as a whole.
        return condition.strip(" \t") in ("*", etag) or (etag is not None and _opaque(etag) in listed)
    since = http_date((request_headers.get("if-modified-since") or "").strip(" \t"))
    if since is None:
        return False
    modified = date_of(entry_head.headers, "last-modified")
    if modified is None:
        modified = date_of(entry_head.headers, "date")
    return (now if modified is None else modified) <= since


def is_as_demanded(request_headers: Headers, head: Head) -> bool:
    """Whether the stored response surely meets If-Match or, without that, If-Unmodified-Since.

    If not, the origin has to decide (RFC 9110 sections 13.1.1 and 13.1.4).
    """
    condition = request_headers.get("if-match")
    if condition is not None:
        return condition.strip(" \t") == "*" or strong_tag(head) in _ENTITY_TAG.findall(condition)
    since = http_date((request_headers.get("if-unmodified-since") or "").strip(" \t"))
    modified = date_of(head.headers, "last-modified")
    return since is None or (modified is not None and modified <= since)


def strong_validator(head: Head) -> str | None:
    """The If-Range value for this representation; None if it has no strong validator.

    A strong entity tag or, if there is no entity tag, a strong Last-Modified (RFC 9110 section 13.1.5).
    """
    etag = _etag(head)
    if etag is not None:
        return etag if _is_strong(etag) else None
    return head.headers.lines("last-modified")[0] if strong_date(head) is not None else None


def strong_date(head: Head) -> float | None:
    """Last-Modified (seconds since the epoch) if it is a strong validator (RFC 9110 section 8.8.2.2)."""
    modified, date = date_of(head.headers, "last-modified"), date_of(head.headers, "date")
    if modified is None or date is None or date - modified < _STRONG_AFTER:
        return None
    return modified


def complete_length(head: Head) -> int | None:
    """The complete length of the representation (bytes), from any head, also a 206; None if not stated."""
    if head.status == 206:
        span = parse_content_range(head.headers.get("content-range") or "")
        return None if span is None else span[2]
    return content_length(head)


def content_length(head: Head) -> int | None:
    """The length of the message's content (bytes); None if the head does not state one valid length."""
    lengths = set(head.headers.lines("content-length"))
    # With Transfer-Encoding it is ignored (RFC 9112 section 6.3).
    if "transfer-encoding" in head.headers or len(lengths) != 1:
        return None
    text = lengths.pop().strip(" \t")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def invalidated_urls(method: str, url: Url, head: Head) -> tuple[Url, ...]:
    """The URLs whose stored responses the answer to this method invalidates (RFC 9111 section 4.4).

    The target and, on the same origin, Location and Content-Location; empty for a safe method or an error.
    """
    if method in SAFE_METHODS or not 200 <= head.status < 400:
        return ()
    urls = [url]
    for name in ("location", "content-location"):
        other = resolved(url, head.headers.get(name))
        if other is not None and _origin(other) == _origin(url) and other not in urls:
            urls.append(other)
    return tuple(urls)


def resolved(base: Url, reference: str | None) -> Url | None:
    """The URL that a reference in a field means, relative to `base`; None if it is not an http URL."""
    if reference is None:
        return None
    try:
        return parse_url(sendable(urljoin(str(base), reference)))
    except (ValueError, BadRequest):
        return None


def _origin(url: Url) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port


def _etag(head: Head) -> str | None:
    lines = head.headers.lines("etag")
    return (lines[0].strip(" \t") or None) if lines else None


def _is_strong(etag: str) -> bool:
    return not etag.startswith("W/") and _ENTITY_TAG.fullmatch(etag) is not None


def _opaque(etag: str) -> str:
    """The entity tag as weak comparison sees it (RFC 9110 section 8.8.3.2)."""
    return etag.removeprefix("W/")


def _codings(head: Head) -> tuple[str, ...]:
    return content_codings(head.headers.get("content-encoding"))


def _other_modification(old_head: Head, new_head: Head) -> bool:
    """Whether the new head has a Last-Modified that differs from the old one's."""
    return "last-modified" in new_head.headers and not _same_modification(old_head, new_head)


def _same_modification(old_head: Head, new_head: Head) -> bool:
    old = date_of(old_head.headers, "last-modified")
    return old is not None and old == date_of(new_head.headers, "last-modified")
