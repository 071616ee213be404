"""Extents of a representation that are stored or being downloaded, so that a download can stop at them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pyproxycache.messages import Entry, Part
from pyproxycache.rules.parts import representation
from pyproxycache.rules.ranges import content_range
from pyproxycache.rules.representation import resumption_validator
from pyproxycache.rules.validation import complete_length

_LEAST = 256 << 10
"""Bytes that others must have for a download to stop: a second request costs more than fewer bytes do."""
_LEAST_AHEAD = 256 << 10
_WAIT_SECONDS = 0.5
_LEAST_SECONDS = 0.1

# These fields describe the bytes of one message, not of the representation.
_OF_THE_CONTENT = ("Content-Digest", "Content-MD5")


@dataclass(frozen=True, slots=True)
class Extent:
    """The bytes of a representation from `start` to before `stop`; those before `reached` are here."""

    start: int
    stop: int
    reached: int

    def has(self, offset: int) -> bool:
        """Whether the byte at the offset is in the extent, arrived or not."""
        return self.start <= offset < self.stop


def as_part(entry: Entry) -> Entry | None:
    """The entry with `part` set, a whole response as the part that is everything.

    None if the complete length is unknown, or if no validator tells its representation from others.
    """
    if resumption_validator(entry.head) is None:
        return None
    if entry.part is not None:
        return entry if entry.part.total is not None else None
    total = complete_length(entry.head)
    return replace(entry, part=Part(0, total - 1, total)) if entry.status == 200 and total else None


def extent_of(part: Entry, arrived: int = 0) -> Extent:
    """The extent of a part, as from as_part(), of which `arrived` bytes are here."""
    assert part.part is not None, "a part says where its bytes lie"
    return Extent(part.part.start, part.part.end + 1, part.part.start + arrived)


def are_of_one(part: Entry, other: Entry) -> bool:
    """Whether two parts, as from as_part(), are of one representation (RFC 9110 section 15.3.7.3)."""
    return part.vary == other.vary and len(representation((part, other))) == 2


def first_ahead(offset: int, others: Iterable[Extent]) -> int | None:
    """Where a download at the offset meets the extent of another one, if it is worth stopping there.

    It is the offset itself if another one is further already. None: go on to the end.
    """
    places = [
        (max(other.start, offset), other.stop)
        for other in others
        if other.start > offset or other.reached > offset
    ]
    return min((start for start, stop in places if stop - start >= _LEAST), default=None)


def comes_soon(offset: int, entry: Entry, arrived: int, now: float, most: int) -> bool:
    """Whether a download that has `arrived` bytes will reach the offset sooner than a new request would.

    `most` limits how many bytes ahead the offset may be. Times are seconds since the epoch.
    """
    reached = entry.first_byte + arrived
    if entry.status == 200 and (entry.headers.get("accept-ranges") or "none") == "none":
        return offset <= reached + most
    speed = arrived / max(now - entry.response_time, _LEAST_SECONDS)
    return offset <= reached + min(most, max(_LEAST_AHEAD, int(speed * _WAIT_SECONDS)))


def shortened(entry: Entry, size: int) -> Entry:
    """The part cut to its first `size` bytes, with the fields that describe it."""
    assert entry.part is not None, "a whole is not shortened"
    part = replace(entry.part, end=entry.part.start + size - 1)
    headers = entry.headers.without(*_OF_THE_CONTENT).with_field("Content-Range", content_range(part))
    headers = headers.with_field("Content-Length", str(size))
    return replace(entry, part=part, head=entry.head.with_headers(headers))
