"""Stored parts of one representation: which belong together, and an answer planned out of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyproxycache.messages import Entry, Head, Headers, Part, Request
from pyproxycache.rules.freshness import recency
from pyproxycache.rules.grammar import end_to_end, parse_content_range
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

# Of one message or its place in the whole, not of the representation.
_OF_ONE_MESSAGE = ("Age", "Content-Digest", "Content-Length", "Content-MD5", "Content-Range")


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes `start` up to `stop` of a representation, out of an entry; None: they are not stored."""

    start: int
    stop: int
    entry: Entry | None

    @property
    def in_body(self) -> tuple[int, int]:
        """The same start and stop, counted in the body that the entry has."""
        offset = 0 if self.entry is None else self.entry.first_byte
        return self.start - offset, self.stop - offset


@dataclass(frozen=True, slots=True)
class Plan:
    """An answer out of parts: the representation's head (a 200), what is wanted, and its bytes in order.

    There are no segments where no body is sent.
    """

    parts: tuple[Entry, ...]
    head: Head
    total: int | None
    wanted: Selected
    segments: tuple[Segment, ...]

    @property
    def used(self) -> tuple[Entry, ...]:
        """The parts that the answer is made of."""
        return tuple(segment.entry for segment in self.segments if segment.entry is not None) or self.parts

    @property
    def missing(self) -> tuple[Segment, ...]:
        """What the origin has to be asked for, in the order in which it is sent."""
        return tuple(segment for segment in self.segments if segment.entry is None)

    def range_fields(self, segment: Segment) -> tuple[tuple[str, str], ...]:
        """The fields that ask for a missing segment (RFC 9110 sections 13.1.5 and 14.2)."""
        validator = strong_validator(self.head)
        assert validator is not None, "without one nothing is missing from a plan"
        part = Part(segment.start, segment.stop - 1, self.total)
        return ("Range", range_of(part)), ("If-Range", validator)

    def completing_head(self, segment: Segment, head_206: Head) -> Head | None:
        """The head to store the answer to range_fields with; None if it is of something else.

        An answer to If-Range may leave out what the asker has already (RFC 9110 section 15.3.7).
        """
        part = part_of(head_206)
        if part is None or not continues(head_206, self.head, segment.start, self.total):
            return None
        if self.total is not None and part.total not in (None, self.total):
            return None
        return replace(head_206, headers=_updated(self.head.headers, end_to_end(head_206.headers)))

    def is_continued_by(self, entry: Entry) -> bool:
        """Whether the entry has the first missing byte, of the same representation."""
        first = next(iter(self.missing), None)
        return (
            first is not None
            and covers(entry, first.start, first.start + 1)
            and len(representation((entry, *self.parts))) == len(self.parts) + 1
        )

    def renewed_by(self, entry: Entry) -> Plan:
        """The same with the fields and clocks of a newer part, which validates the others."""
        head, asked, received = entry.head, entry.request_time, entry.response_time
        return self.with_entries([freshen(part, head, asked, received) for part in self.parts])

    def with_entries(self, entries: Sequence[Entry]) -> Plan:
        """The same with these versions of its entries, known by their id."""
        new = {entry.id: entry for entry in entries}
        parts = tuple(new.get(part.id, part) for part in self.parts)
        segments = tuple(
            replace(segment, entry=new.get(segment.entry.id, segment.entry)) if segment.entry else segment
            for segment in self.segments
        )
        return replace(self, parts=parts, head=combined_head(parts), segments=segments)


def range_of(part: Part) -> str:
    """The Range that asks for the part, open where the representation ends with it."""
    return range_text(part.start, None if part.end + 1 == part.total else part.end)


def filling(known: Head, part: Part) -> Plan:
    """The plan of a part alone, of which nothing is there but what the representation's head is."""
    missing = Segment(part.start, part.end + 1, None)
    head = Head(200, "OK", known.headers.without(*_OF_ONE_MESSAGE))
    return Plan((), head, part.total, WHOLE, (missing,))


def part_of(head: Head) -> Part | None:
    """The part that a 206 carries; None for several, an invalid Content-Range, and too much content.

    Less content than Content-Range says is what there is, counted from its first byte; where it was to
    reach the end, the end is there (RFC 9110 sections 14.4 and 6.4).
    """
    if head.status != 206:
        return None
    lines = head.headers.lines("content-range")
    media_type = (head.headers.get("content-type") or "").partition(";")[0].strip(" \t").lower()
    span = parse_content_range(lines[0]) if len(lines) == 1 else None
    if media_type in _MULTIPART or span is None:
        return None
    part, length = Part(*span), content_length(head)
    if length is None or length == part.length:
        return part
    if not 0 < length < part.length:
        return None
    stop, reaches_end = part.start + length, part.end + 1 == part.total
    if part.start == 0 and reaches_end:
        return None  # less than all must never pass for all
    return Part(part.start, stop - 1, stop if reaches_end else part.total)


def covers(entry: Entry, start: int, stop: int) -> bool:
    """Whether the entry has all bytes from `start` up to `stop` of the representation."""
    return entry.first_byte <= start and stop <= _end(entry)


def representation(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Of the stored parts of one variant the newest and those that combine with it, newest first.

    They have a strong validator, codings and the complete length in common (RFC 9110 section
    15.3.7.3, RFC 9111 section 3.4).
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
    """The representation's head as that of a 200, newer fields over older ones (RFC 9111 section 3.4).

    Without Age, Content-Length and Content-Range. `parts` as from representation().
    """
    headers = Headers()
    for entry in reversed(parts):
        headers = _updated(headers, entry.headers)
    return Head(200, "OK", headers.without(*_OF_ONE_MESSAGE))


def plan(request: Request, parts: tuple[Entry, ...], now: float) -> Plan | None:
    """How a GET or HEAD is answered out of the parts (as from representation()).

    None where they are of no use: they have nothing that is wanted, or cannot tell what is, or what is
    missing could be of another representation.
    """
    if not parts:
        return None
    head, total = combined_head(parts), _total(parts)
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
    """The bytes from `start` up to `stop` out of as few parts as can be, and what none of them has."""
    found: list[Segment] = []
    waiting = sorted(parts, key=lambda entry: entry.first_byte, reverse=True)
    furthest: Entry | None = None
    reach = start
    while start < stop:
        # Of the parts that begin up to here the one that reaches furthest: fewest are needed so.
        while waiting and waiting[-1].first_byte <= start:
            entry = waiting.pop()
            if _end(entry) > reach:
                furthest, reach = entry, _end(entry)
        if reach == start:
            furthest, reach = None, waiting[-1].first_byte if waiting else stop
        found.append(Segment(start, min(reach, stop), furthest))
        start = reach
    return tuple(found)


def _wanted(request_headers: Headers, head: Head, total: int | None) -> Selected | None:
    """What a GET gets of the representation; None where that takes the total, which nothing tells."""
    if total is not None:
        return select_ranges(request_headers, head, total)
    specs = range_specs(request_headers)
    first, last = specs[0] if len(specs) == 1 else (None, None)
    if first is None or last is None or not if_range_holds(request_headers, head):
        return None
    return (Part(first, last, None),)


def _in_order(parts: Sequence[Entry], wanted: Selected, total: int | None) -> tuple[Segment, ...]:
    """The segments of all that is wanted."""
    if isinstance(wanted, Whole):
        return segments(parts, 0, total or 0)
    spans = wanted if isinstance(wanted, tuple) else ()
    return tuple(segment for part in spans for segment in segments(parts, part.start, part.end + 1))


def _end(entry: Entry) -> int:
    """Where in the representation the entry's body ends."""
    return entry.size if entry.part is None else entry.part.end + 1


def _length(entry: Entry) -> int | None:
    return entry.size if entry.part is None else entry.part.total


def _total(parts: Sequence[Entry]) -> int | None:
    """The complete length that any of the parts tells."""
    return next((total for entry in parts if (total := _length(entry)) is not None), None)


def _fit_together(parts: Sequence[Entry]) -> bool:
    """Whether they can all be parts of something of one length."""
    totals = {total for entry in parts if (total := _length(entry)) is not None}
    return len(totals) <= 1 and all(_end(entry) <= total for total in totals for entry in parts)


def _updated(old: Headers, new: Headers) -> Headers:
    """The fields with those of a newer response over them (RFC 9111 section 3.2)."""
    kept = old.without(*_OF_ONE_MESSAGE, *(name for name, _value in new))
    return Headers((*kept, *new))
