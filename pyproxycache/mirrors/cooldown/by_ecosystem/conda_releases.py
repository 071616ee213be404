"""Releases of conda packages, by the `timestamp` of each in the index of its platform."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from pyproxycache.mirrors.cooldown.admission import Naming
from pyproxycache.mirrors.documents.json_items import ItemChanger, ItemReader, JsonItem
from pyproxycache.mirrors.documents.packed import can_pack, packer_for
from pyproxycache.mirrors.documents.unpacked import Unpacked

NAMING = Naming(str.lower, lambda text: text.lower())
"""Names and versions are in lower case."""

INDEX = re.compile(
    r"(?:.*/)?(?:current_)?repodata(?:_from_packages)?\.json(?:\.zst|\.bz2|\.gz)?", re.DOTALL
)
"""The paths of indexes of a platform's packages."""

UNREAD = re.compile(r"(?:.*/)?(?:[^/]+\.msgpack(?:\.zst)?|[^/]+\.jlap)", re.DOTALL)
"""Those of what names packages, too, and is not given in part: shards, and lines that are added later."""

OPEN = re.compile(r"(?:.*/)?(?:[^/]+\.(?:json|xml|html|txt)(?:\.zst|\.bz2|\.gz)?)?", re.DOTALL)
"""Those of other documents, and of folders."""

_INDEXES = ("repodata.json.zst", "repodata.json")

_FILE = re.compile(r"(?P<package>[^/]+)-(?P<version>[^/-]+)-(?P<build>[^/-]+)(?:\.conda|\.tar\.bz2)")
_PACKAGES = (("packages",), ("packages.conda",))
# Bytes that are packed at a time; seconds up to here, milliseconds above.
_PIECE = 64 << 10
_LAST_SECOND = 253_402_300_799


class _StampedRecord(msgspec.Struct):
    """What an index says of one package."""

    name: Any = None
    version: Any = None
    timestamp: Any = None


_decode = msgspec.json.Decoder(_StampedRecord).decode


def indexes() -> tuple[str, ...]:
    """The indexes of a folder that name all its packages: the first that is there is read."""
    return _INDEXES if can_pack(_INDEXES[0]) else _INDEXES[1:]


def release_of(name: str) -> tuple[str, str] | None:
    """The package and version that a file's name tells; None if it is no package's."""
    found = _FILE.fullmatch(name)
    return (found["package"], found["version"]) if found else None


def _released(record: _StampedRecord) -> float | None:
    stamp = record.timestamp
    if isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
        return None
    try:
        return stamp / 1000 if stamp > _LAST_SECOND else float(stamp)
    except OverflowError:
        return None


def _told(item: JsonItem) -> tuple[str, str, float | None] | None:
    """Package, version and time of an item of an index; None if it belongs to another package."""
    try:
        record = _decode(item.text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None
    of = release_of(item.key or "")
    return None if of is None or of != (record.name, record.version) else (*of, _released(record))


def read_times(pieces: Iterable[bytes], note: Callable[[str, float | None], None]) -> None:
    """Give the name and time of each package of an index to `note`; raises DocumentError."""

    def read(item: JsonItem) -> None:
        if (told := _told(item)) is not None:
            note(item.key or "", told[2])

    reader = Unpacked(ItemReader(_PACKAGES, read))
    for piece in pieces:
        reader.feed(piece)
    reader.finish()


def without_releases(
    pieces: Iterable[bytes], name: str, is_given: Callable[[str, str, float | None], bool]
) -> Iterator[bytes]:
    """The index of this name without what is not given, packed as it was; raises DocumentError.

    `is_given` takes package, version and time.
    """
    packer, content, ready = packer_for(name), bytearray(), bytearray()

    def give(piece: bytes) -> None:
        # A few packed bytes may be many: they are packed again before the next ones are read.
        content.extend(piece)
        if len(content) >= _PIECE:
            ready.extend(packer.compress(bytes(content)))
            content.clear()

    def kept(item: JsonItem) -> bytes | None:
        told = _told(item)
        return item.text if told is not None and is_given(*told) else None

    reader = Unpacked(ItemChanger(_PACKAGES, kept, give))
    for piece in pieces:
        reader.feed(piece)
        if ready:
            yield bytes(ready)
            ready.clear()
    reader.finish()
    yield packer.compress(bytes(content)) + packer.flush()
