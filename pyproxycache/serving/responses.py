"""Answers made of stored or arriving responses and parts: 200, 206, 304, 416, with Age."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pyproxycache.body import EMPTY, Body, BytesBody, Piece, WouldBlock, size_of
from pyproxycache.errors import (
    BrokenOff,
    NoMemberLeft,
    Offline,
    ProxyError,
    TokenCheckFailed,
    UpstreamBusy,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from pyproxycache.messages import Entry, Head, Headers, Part, Request
from pyproxycache.response import Response
from pyproxycache.rules.freshness import current_age
from pyproxycache.rules.grammar import format_http_date
from pyproxycache.rules.parts import Plan, Segment, plan
from pyproxycache.rules.ranges import (
    WHOLE,
    Selected,
    Unsatisfiable,
    content_range,
    multipart_headers,
    part_headers,
    select_ranges,
    unsatisfiable_head,
)
from pyproxycache.rules.validation import is_not_modified
from pyproxycache.serving.status_fields import proxy_status
from pyproxycache.store.values import BodyGone, Orphaned

log = logging.getLogger("pyproxycache.serving")

T = TypeVar("T")
OpenBody = Callable[[int, int | None], Body]
"""Gives the body from an offset up to another one (None: to its end)."""
OpenSegment = Callable[[Segment], Body]
"""Gives the bytes of one segment of a plan."""

_NOT_MODIFIED_FIELDS = (
    "age",
    "cache-control",
    "content-location",
    "date",
    "etag",
    "expires",
    "last-modified",
    "vary",
    "via",
)


def from_entry(
    request: Request, entry: Entry, length: int | None, now: float, open_body: OpenBody
) -> Response:
    """The answer to this request out of a response whose body has `length` bytes (None: not known yet).

    Of a part that lacks some of it the client gets what there is: the origin's answer to its Range.
    """
    if entry.part is not None:
        return _from_part(request, entry, entry.part, now, open_body)
    head = _aged(entry.head, current_age(entry, now))
    wanted = select_ranges(request.headers, head, length) if request.method == "GET" else WHOLE
    return _selected(request, head, length, wanted, now, open_body)


def from_parts(request: Request, plan: Plan, now: float, open_segment: OpenSegment) -> Response:
    """The answer to this request out of stored and arriving parts, as planned for it.

    The first segment is opened at once, each other one when all before it was sent.
    """

    def open_span(start: int, stop: int | None) -> Body:
        inside = [s for s in plan.segments if s.start >= start and (stop is None or s.stop <= stop)]
        return _joined([_Opening(partial(open_segment, s), s.stop - s.start) for s in inside])

    return from_plan(request, plan, now, open_span)


def from_plan(request: Request, plan: Plan, now: float, open_span: OpenBody) -> Response:
    """The answer to this request out of a plan; `open_span` counts offsets in the representation."""
    head = _aged(plan.head, max(current_age(entry, now) for entry in plan.used))
    return _selected(request, head, plan.total, plan.wanted, now, open_span)


def _from_part(request: Request, entry: Entry, part: Part, now: float, open_body: OpenBody) -> Response:
    planned = plan(request, (entry,), now)
    head = _aged(entry.head, current_age(entry, now))
    if planned is None or planned.missing or planned.wanted == (part,):
        # All of it: as the origin sent it, for it may know more than the part.
        length = ("Content-Length", str(part.length))
        return Response(
            head.with_headers(head.headers.with_field(*length)), open_body(0, part.length), part.length
        )
    return from_parts(request, planned, now, lambda segment: open_body(*segment.in_body))


def _selected(
    request: Request, head: Head, length: int | None, wanted: Selected, now: float, open_body: OpenBody
) -> Response:
    """The answer once it is known what is wanted, unless the client's precondition makes it a 304."""
    # To other methods that were carried out it says nothing (RFC 9110 section 13.2.1).
    if request.method in ("GET", "HEAD", "QUERY") and is_not_modified(request.headers, head, now):
        return Response(not_modified(head))
    if isinstance(wanted, Unsatisfiable) and length is not None:
        return Response(unsatisfiable_head(length))
    if isinstance(wanted, tuple) and len(wanted) == 1:
        part = wanted[0]
        return Response(part_headers(head, part), open_body(part.start, part.end + 1), part.length)
    if isinstance(wanted, tuple):
        return _multipart(head, wanted, open_body)
    if length is not None and head.status != 204:
        headers = head.headers.with_field("Content-Length", str(length))
        head = head if headers is head.headers else Head(head.status, head.reason, headers)
    if request.method == "HEAD":
        return Response(head, EMPTY, length)
    return Response(head, open_body(0, length), length)


def _multipart(head: Head, parts: Sequence[Part], open_body: OpenBody) -> Response:
    """Several parts as multipart/byteranges (RFC 9110 sections 14.6 and 15.3.7.2)."""
    # Drawn by lot, so that nobody can have put it into the representation.
    boundary = secrets.token_hex(16)
    media_types = head.headers.lines("content-type")[:1]
    items: list[bytes | _Opening] = []
    for part in parts:
        lines = [f"--{boundary}", *(f"Content-Type: {media_type}" for media_type in media_types)]
        text = "\r\n".join([*lines, f"Content-Range: {content_range(part)}", "\r\n"])
        items.append((text if part is parts[0] else f"\r\n{text}").encode("latin-1"))
        items.append(_Opening(partial(open_body, part.start, part.end + 1), part.length))
    items.append(f"\r\n--{boundary}--\r\n".encode())
    length = sum(item.length if isinstance(item, _Opening) else len(item) for item in items)
    return Response(multipart_headers(head, boundary, length), _joined(items), length)


@dataclass(frozen=True, slots=True)
class _Opening:
    """A body of `length` bytes that is yet to be opened."""

    open: Callable[[], Body]
    length: int


def _joined(items: Sequence[bytes | _Opening]) -> Body:
    """The items as one body; the first opening is opened at once."""
    return _Joined(items) if any(isinstance(item, _Opening) for item in items) else EMPTY


class _Joined(Body):
    """Several items as one body: each is opened in its turn, and all are closed."""

    def __init__(self, items: Sequence[bytes | _Opening]) -> None:
        self._first = next(item for item in items if isinstance(item, _Opening))
        self._opened = self._first.open()
        self._items = deque(items)
        self._left = 0  # bytes of what is open that are still to come

    def __next__(self) -> Piece:
        while True:
            if self._left:
                return self._counted(self._going_on(self._opened.__next__))
            if (data := self._begun()) is not None:
                return data

    def take(self, wake: Callable[[], None], /) -> Piece | None:
        while True:
            if self._left:
                piece = self._going_on(partial(self._opened.take, wake))
                return piece and self._counted(piece)
            if self._items and isinstance(self._items[0], _Opening) and self._items[0] is not self._first:
                raise WouldBlock  # who is to be asked for it may take long
            if (data := self._begun()) is not None:
                return data

    def _begun(self) -> bytes | None:
        """The next item if it is bytes; else it is open from here on. Raises StopIteration at the end."""
        if not self._items:
            self.close()
            raise StopIteration
        item = self._items.popleft()
        if isinstance(item, bytes):
            return item
        if item is not self._first:
            # Before the last one is closed: a flight is gone once its last reader has left.
            following = self._open_later(item)
            self._opened.close()
            self._opened = following
        self._left = item.length
        return None

    def _open_later(self, opening: _Opening) -> Body:
        try:
            return opening.open()
        except BaseException as error:
            self.close()
            if isinstance(error, BodyGone | Orphaned):
                gone = "a part of the answer left the cache before it could be sent"
                raise BrokenOff(gone) from error
            raise

    def _going_on(self, get: Callable[[], T]) -> T:
        """What is open, read; raises BrokenOff where it has less than it was to have."""
        try:
            return get()
        except StopIteration:
            left = self._left
            self.close()
            raise BrokenOff(f"a part of the answer ended {left} bytes early") from None

    def _counted(self, piece: Piece) -> Piece:
        self._left = max(0, self._left - size_of(piece))
        return piece

    def close(self) -> None:
        self._items.clear()
        self._left = 0
        self._opened.close()


def not_modified(head: Head) -> Head:
    """The 304 that stands for this response (RFC 9110 section 15.4.5)."""
    kept = [field for field in head.headers if field[0].lower() in _NOT_MODIFIED_FIELDS]
    return Head(304, "Not Modified", Headers(kept))


@dataclass(frozen=True, slots=True)
class Failure(Response):
    """The answer in place of one that an error prevented."""

    error: ProxyError | None = None


def from_error(error: ProxyError) -> Response:
    """The answer to a request that ended by this error: a short text, and the header fields it brings."""
    text = from_text(error.status, error.public)
    return Failure(text.with_lines(error.headers).head, text.body, text.length, error=error)


_WITHOUT_PLACES: dict[type[ProxyError], str] = {
    Offline: "what is asked for is not stored, and the upstream is not asked now",
    UpstreamUnreachable: "the upstream cannot be reached",
    UpstreamTimeout: "the upstream did not answer in time",
    UpstreamBusy: "the upstream takes no more requests for a while",
}


def without_places(response: Response) -> Response:
    """The answer without what its error says of machines behind this one; the log has it."""
    error = response.error if isinstance(response, Failure) else None
    if not isinstance(error, UpstreamError | TokenCheckFailed) or isinstance(error, NoMemberLeft):
        return response
    if isinstance(error, TokenCheckFailed):
        text = error.public
    else:
        log.warning("a client is answered with %d: %s", error.status, error)
        text = next(
            (text for kind, text in _WITHOUT_PLACES.items() if isinstance(error, kind)),
            "the upstream's answer cannot be used",
        )
    return from_error(type(error)(text, error.proxy_error, headers=error.headers))


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
    return Response(Head(status, "", headers), BytesBody(body), len(body))


def signed(
    head: Head, name: str, cache_status: str, now: float, error: ProxyError | None = None
) -> Headers:
    """The head's fields as they leave this proxy: with Date, Via, its members of Cache- and Proxy-Status.

    A head that was received has its Via since then. `error` is what the answer stands in place of.
    """
    lines = [*dated(head, now).headers]
    if (head.headers.get("via") or "").rpartition(" ")[2] != name:
        lines.append(("Via", f"1.1 {name}"))
    if cache_status:
        lines.append(("Cache-Status", cache_status))
    if error is not None and error.proxy_error:
        lines.append(("Proxy-Status", proxy_status(error, name)))
    return Headers(lines)


def dated(head: Head, now: float) -> Head:
    """The head with a Date, which a proxy adds where the origin left it out (RFC 9110 section 6.6.1)."""
    if "date" in head.headers:
        return head
    return Head(head.status, head.reason, head.headers.with_field("Date", format_http_date(now)))


def _aged(head: Head, age: float) -> Head:
    return Head(head.status, head.reason, head.headers.with_field("Age", str(int(age))))
