"""Bytes of a representation that are there or on their way: what a download can leave to others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pyproxycache.messages import Entry, Part
from pyproxycache.rules.parts import representation
from pyproxycache.rules.ranges import content_range
from pyproxycache.rules.representation import resumption_validator
from pyproxycache.rules.validation import complete_length

_LEAST = 256 << 10
"""Bytes of others that are worth a request less: fewer cost the origin less than asking behind them."""
_LEAST_AHEAD = 256 << 10
_WAIT_SECONDS = 0.5
_LEAST_SECONDS = 0.1

# They speak of the bytes of one message.
_OF_THE_CONTENT = ("Content-Digest", "Content-MD5")


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes `start` up to `stop` of a representation, which are there up to `reached`."""

    start: int
    stop: int
    reached: int

    def has(self, offset: int) -> bool:
        return self.start <= offset < self.stop


def as_part(entry: Entry) -> Entry | None:
    """The response as a part that its download can share with others, a whole one as that of everything.

    None where that is unknown, or where nothing tells its bytes from those of another representation.
    """
    if resumption_validator(entry.head) is None:
        return None
    if entry.part is not None:
        return entry if entry.part.total is not None else None
    total = complete_length(entry.head)
    return replace(entry, part=Part(0, total - 1, total)) if entry.status == 200 and total else None


def extent_of(part: Entry, arrived: int = 0) -> Extent:
    """The bytes that a part, as from as_part(), has or is to have, with so many of them there already."""
    assert part.part is not None, "a part says where its bytes lie"
    return Extent(part.part.start, part.part.end + 1, part.part.start + arrived)


def are_of_one(part: Entry, other: Entry) -> bool:
    """Whether the bytes of two parts, as from as_part(), go together (RFC 9110 section 15.3.7.3)."""
    return part.vary == other.vary and len(representation((part, other))) == 2


def first_ahead(offset: int, others: Iterable[Extent]) -> int | None:
    """Where a download that is at the offset meets what others bring in, if that is worth stopping for.

    That is the offset itself where others are further already.
    """
    places = [
        (max(other.start, offset), other.stop)
        for other in others
        if other.start > offset or other.reached > offset
    ]
    return min((start for start, stop in places if stop - start >= _LEAST), default=None)


def comes_soon(offset: int, entry: Entry, arrived: int, now: float, most: int) -> bool:
    """Whether a download that has so many bytes of the entry will be at the offset sooner than a new one.

    `most`: no more bytes ahead than that, and so many from an origin that does not say it takes ranges.
    """
    reached = entry.first_byte + arrived
    if entry.status == 200 and (entry.headers.get("accept-ranges") or "none") == "none":
        return offset <= reached + most
    speed = arrived / max(now - entry.response_time, _LEAST_SECONDS)
    return offset <= reached + min(most, max(_LEAST_AHEAD, int(speed * _WAIT_SECONDS)))


def shortened(entry: Entry, size: int) -> Entry:
    """The part of which no more than its first bytes came, `size` of them."""
    assert entry.part is not None, "a whole is not shortened"
    part = replace(entry.part, end=entry.part.start + size - 1)
    headers = entry.headers.without(*_OF_THE_CONTENT).with_field("Content-Range", content_range(part))
    headers = headers.with_field("Content-Length", str(size))
    return replace(entry, part=part, head=replace(entry.head, headers=headers))
