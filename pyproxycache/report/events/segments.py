"""The files of a spool: numbered segments of lines, each line with a checksum."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

_NAME = re.compile(r"([0-9]{10})\.events")
_LINE = re.compile(rb"([0-9a-f]{8}) (.+)", re.DOTALL)


def segment_path(folder: Path, number: int) -> Path:
    """The file of a segment."""
    return folder / f"{number:010d}.events"


def segment_numbers(folder: Path) -> list[int]:
    """The numbers of all segments, the oldest first; raises OSError."""
    return sorted(int(found[1]) for path in folder.iterdir() if (found := _NAME.fullmatch(path.name)))


def as_record(event: bytes) -> bytes:
    """The event, which has no line end in it, as a line with its checksum."""
    return b"%08x %b\n" % (zlib.crc32(event), event)


def event_in(record: bytes) -> bytes | None:
    """The event in a line without its end; None if the line is damaged."""
    found = _LINE.fullmatch(record)
    if found is None or int(found[1], 16) != zlib.crc32(found[2]):
        return None
    return found[2]
