"""Answers made of stored or arriving responses: 200, 206, 304, 416, with Age."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pyproxycache.errors import ProxyError
from pyproxycache.messages import Entry, Head, Headers, Part, Piece, Request, Response
from pyproxycache.rules.freshness import current_age
from pyproxycache.rules.grammar import format_http_date
from pyproxycache.rules.ranges import Unsatisfiable, part_headers, select_range, unsatisfiable_head
from pyproxycache.rules.validation import precondition

Body = Iterable[Piece]
OpenBody = Callable[[int, int | None], Body]
"""Gives the body from an offset up to another one (None: to its end)."""

_NOT_MODIFIED_FIELDS = (
    "age",
    "cache-control",
    "content-location",
    "date",
    "etag",
    "expires",
    "last-modified",
    "vary",
)


def from_entry(
    request: Request, entry: Entry, length: int | None, now: float, open_body: OpenBody
) -> Response:
    """What this client asked for out of a response whose body has `length` bytes (None: not known yet)."""
    head = Head(entry.status, entry.head.reason, _with_age(entry, now))
    if precondition(request.headers, head, now):
        return Response(not_modified(head))
    selected = select_range(request.headers, head, length) if request.method == "GET" else None
    if isinstance(selected, Unsatisfiable) and length is not None:
        return Response(unsatisfiable_head(length))
    if isinstance(selected, Part):
        body = open_body(selected.start, selected.end + 1)
        return Response(part_headers(head, selected), body, selected.length)
    if length is not None and entry.status != 204:
        head = Head(head.status, head.reason, head.headers.with_field("Content-Length", str(length)))
    if request.method == "HEAD":
        return Response(head, (), length)
    return Response(head, open_body(0, length), length)


def not_modified(head: Head) -> Head:
    """The 304 that stands for this response (RFC 9110 section 15.4.5)."""
    kept = [field for field in head.headers if field[0].lower() in _NOT_MODIFIED_FIELDS]
    return Head(304, "Not Modified", Headers(kept))


def from_error(error: ProxyError) -> Response:
    """A short text that says what happened and whose fault it is."""
    return from_text(error.status, str(error))


def from_text(status: int, text: str) -> Response:
    """A plain answer of the cache's own, which nobody stores."""
    body = f"{text}\n".encode()
    headers = Headers(
        (
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        )
    )
    return Response(Head(status, "", headers), (body,), len(body))


def signed(response: Response, name: str, cache_status: str, now: float) -> Response:
    """The answer as it leaves this proxy: with Date, Via and Cache-Status."""
    head = dated(response.head, now)
    headers = head.headers.with_line("Via", f"1.1 {name}").with_line("Cache-Status", cache_status)
    return Response(Head(head.status, head.reason, headers), response.body, response.length)


def dated(head: Head, now: float) -> Head:
    """The head with a Date, which a proxy adds where the origin left it out (RFC 9110 section 6.6.1)."""
    if "date" in head.headers:
        return head
    return Head(head.status, head.reason, head.headers.with_field("Date", format_http_date(now)))


def _with_age(entry: Entry, now: float) -> Headers:
    return entry.headers.with_field("Age", str(int(current_age(entry, now))))
