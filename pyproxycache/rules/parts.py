"""Stored parts: which of them are of one representation, and the plan of an answer out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyproxycache.messages import Entry, Head, Headers, Part, Request
from pyproxycache.rules.freshness import recency
from pyproxycache.rules.grammar import end_to_end, media_type, parse_content_range
from pyproxycache.rules.ranges import (
    WHOLE,
    Selected,
    Whole,
    continues,
    if_range_holds,
    range_specs,
    range_text,
    select_ranges,
)
from pyproxycache.rules.representation import same_representation
from pyproxycache.rules.validation import (
    content_length,
    freshen,
    is_not_modified,
    strong_validator,
)

_MULTIPART = ("multipart/byteranges", "multipart/x-byteranges")

# Fields that describe one message, not the representation.
_OF_ONE_MESSAGE = ("Age", "Content-Digest", "Content-Length", "Content-MD5", "Content-Range")


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes from `start` up to, not including, `stop` of a representation; `entry` None: not stored."""

    start: int
    stop: int
    entry: Entry | None

    @property
    def in_body(self) -> tuple[int, int]:
        """Start and stop as offsets in the entry's body."""
        offset = 0 if self.entry is None else self.entry.first_byte
        return self.start - offset, self.stop - offset


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer out of stored parts: the representation's head (a 200), the ranges wanted, and the bytes.

    `segments` are the bytes in the order in which they are sent; empty if the answer has no body. `total`
    is the complete length (None: unknown).
    """

    parts: tuple[Entry, ...]
    head: Head
    total: int | None
    wanted: Selected
    segments: tuple[Segment, ...]

    @property
    def used(self) -> tuple[Entry, ...]:
        """The parts whose bytes or head the answer has."""
        return tuple(segment.entry for segment in self.segments if segment.entry is not None) or self.parts

    @property
    def missing(self) -> tuple[Segment, ...]:
        """The segments that the origin has to be asked for, in the order in which they are sent."""
        return tuple(segment for segment in self.segments if segment.entry is None)

    def range_fields(self, segment: Segment) -> tuple[tuple[str, str], ...]:
        """Range and If-Range that ask for a missing segment (RFC 9110 sections 13.1.5 and 14.2)."""
        validator = strong_validator(self.head)
        assert validator is not None, "plan() makes no plan with gaps without a strong validator"
        part = Part(segment.start, segment.stop - 1, self.total)
        return ("Range", range_of(part)), ("If-Range", validator)

    def completing_head(self, segment: Segment, head_206: Head) -> Head | None:
        """The head to store the answer to range_fields() with; None if it is of another representation.

        The fields that an answer to If-Range may leave out are added (RFC 9110 section 15.3.7).
        """
        part = part_of(head_206)
        if part is None or not continues(head_206, self.head, segment.start, self.total):
            return None
        if self.total is not None and part.total not in (None, self.total):
            return None
        return replace(head_206, headers=_updated(self.head.headers, end_to_end(head_206.headers)))

    def is_continued_by(self, entry: Entry) -> bool:
        """Whether the entry has the first missing byte and is of the same representation."""
        first = next(iter(self.missing), None)
        return (
            first is not None
            and covers(entry, first.start, first.start + 1)
            and len(representation((entry, *self.parts))) == len(self.parts) + 1
        )

    def renewed_by(self, entry: Entry) -> Plan:
        """The plan with its parts freshened by a newer part, which validates them."""
        head, asked, received = entry.head, entry.request_time, entry.response_time
        return self.with_entries([freshen(part, head, asked, received) for part in self.parts])

    def with_entries(self, entries: Sequence[Entry]) -> Plan:
        """The plan with its entries replaced by those of the same id."""
        new = {entry.id: entry for entry in entries}
        parts = tuple(new.get(part.id, part) for part in self.parts)
        segments = tuple(
            replace(segment, entry=new.get(segment.entry.id, segment.entry)) if segment.entry else segment
            for segment in self.segments
        )
        return replace(self, parts=parts, head=combined_head(parts), segments=segments)


def range_of(part: Part) -> str:
    """The Range value that asks for the part; without a last position if the part reaches the end."""
    return range_text(part.start, None if part.end + 1 == part.total else part.end)


def filling(known: Head, part: Part) -> Plan:
    """The plan of an answer with this part, of which only the representation's head is known."""
    missing = Segment(part.start, part.end + 1, None)
    head = Head(200, "OK", known.headers.without(*_OF_ONE_MESSAGE))
    return Plan((), head, part.total, WHOLE, (missing,))


def part_of(head: Head) -> Part | None:
    """The part that a 206 carries; None if it has several, an invalid Content-Range, or too much content.

    If Content-Length is smaller than Content-Range says, the part ends with the content; if it should have
    reached the end, the representation ends there (RFC 9110 sections 14.4 and 6.4).
    """
    if head.status != 206:
        return None
    lines = head.headers.lines("content-range")
    span = parse_content_range(lines[0]) if len(lines) == 1 else None
    if media_type(head.headers) in _MULTIPART or span is None:
        return None
    part, length = Part(*span), content_length(head)
    if length is None or length == part.length:
        return part
    if not 0 < length < part.length:
        return None
    stop, reaches_end = part.start + length, part.end + 1 == part.total
    if part.start == 0 and reaches_end:
        return None  # a cut body must never be taken for the whole
    return Part(part.start, stop - 1, stop if reaches_end else part.total)


def covers(entry: Entry, start: int, stop: int) -> bool:
    """Whether the entry has all bytes from `start` up to, not including, `stop` of the representation."""
    return entry.first_byte <= start and stop <= _end(entry)


def representation(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """The newest of the stored parts and those of the same representation, newest first.

    `entries` are of one variant. RFC 9110 section 15.3.7.3, RFC 9111 section 3.4.
    """
    newest_first = sorted(entries, key=recency, reverse=True)
    chosen = newest_first[:1]
    for entry in newest_first[1:]:
        if same_representation(chosen[0].head, entry.head, _length(chosen[0])) and _fit_together(
            (*chosen, entry)
        ):
            chosen.append(entry)
    return tuple(chosen)


def combined_head(parts: Sequence[Entry]) -> Head:
    """The head of the representation, a 200, with the newest fields of its parts (RFC 9111 section 3.4).

    It lacks the fields that describe one message, as Age and Content-Length. `parts` as from
    representation().
    """
    headers = Headers()
    for entry in reversed(parts):
        headers = _updated(headers, entry.headers)
    return Head(200, "OK", headers.without(*_OF_ONE_MESSAGE))


def plan(request: Request, parts: tuple[Entry, ...], now: float) -> Plan | None:
    """Plan the answer to a GET or HEAD out of parts (as from representation()).

    None if they are of no use: they have no wanted byte, the ranges wanted depend on an unknown length, or
    the missing bytes could be of another representation; for a HEAD, if they are not the whole. `now` is in
    seconds since the epoch.
    """
    if not parts:
        return None
    head, total = combined_head(parts), _total(parts)
    if request.method == "HEAD" and not _are_whole(parts, total):
        return None  # fields that their own requests did without would be missing
    if request.method == "HEAD" or is_not_modified(request.headers, head, now):
        return Plan(parts, head, total, WHOLE, ())
    wanted = _wanted(request.headers, head, total)
    if wanted is None:
        return None
    chosen = Plan(parts, head, total, wanted, _in_order(parts, wanted, total))
    if not chosen.missing:
        return chosen
    if total is None or strong_validator(head) is None or len(chosen.missing) == len(chosen.segments):
        return None
    return chosen


def segments(parts: Sequence[Entry], start: int, stop: int) -> tuple[Segment, ...]:
    """The bytes from `start` up to, not including, `stop` out of as few parts as possible, with gaps."""
    found: list[Segment] = []
    waiting = sorted(parts, key=lambda entry: entry.first_byte, reverse=True)
    furthest: Entry | None = None
    reach = start
    while start < stop:
        # The part that reaches furthest of those that begin up to here: so the fewest are needed.
        while waiting and waiting[-1].first_byte <= start:
            entry = waiting.pop()
            if _end(entry) > reach:
                furthest, reach = entry, _end(entry)
        if reach == start:
            furthest, reach = None, waiting[-1].first_byte if waiting else stop
        found.append(Segment(start, min(reach, stop), furthest))
        start = reach
    return tuple(found)


def _are_whole(parts: Sequence[Entry], total: int | None) -> bool:
    return total is not None and all(segment.entry is not None for segment in segments(parts, 0, total))


def _wanted(request_headers: Headers, head: Head, total: int | None) -> Selected | None:
    """The ranges that a GET wants; None if they depend on the complete length, which is unknown."""
    if total is not None:
        return select_ranges(request_headers, head, total)
    specs = range_specs(request_headers)
    first, last = specs[0] if len(specs) == 1 else (None, None)
    if first is None or last is None or not if_range_holds(request_headers, head):
        return None
    return (Part(first, last, None),)


def _in_order(parts: Sequence[Entry], wanted: Selected, total: int | None) -> tuple[Segment, ...]:
    """The segments of all ranges wanted, in the order in which they are sent."""
    if isinstance(wanted, Whole):
        return segments(parts, 0, total or 0)
    spans = wanted if isinstance(wanted, tuple) else ()
    return tuple(segment for part in spans for segment in segments(parts, part.start, part.end + 1))


def _end(entry: Entry) -> int:
    """The offset in the representation behind the entry's last byte."""
    return entry.size if entry.part is None else entry.part.end + 1


def _length(entry: Entry) -> int | None:
    """The complete length of the entry's representation; None if unknown."""
    return entry.size if entry.part is None else entry.part.total


def _total(parts: Sequence[Entry]) -> int | None:
    """The complete length, from the first part that tells it; None if unknown."""
    return next((total for entry in parts if (total := _length(entry)) is not None), None)


def _fit_together(parts: Sequence[Entry]) -> bool:
    """Whether all parts agree on the complete length and lie within it."""
    totals = {total for entry in parts if (total := _length(entry)) is not None}
    return len(totals) <= 1 and all(_end(entry) <= total for total in totals for entry in parts)


def _updated(old: Headers, new: Headers) -> Headers:
    """The old fields, replaced by those of a newer response (RFC 9111 section 3.2)."""
    kept = old.without(*_OF_ONE_MESSAGE, *(name for name, _value in new))
    return Headers((*kept, *new))
