"""Archives of stored responses: tar files of a fixed form, written and read as streams.

The first member says what the file is. Then each response has two: its head as JSON, and its body. The last
one counts them, so that a file that was cut short is known.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, TypeVar

import msgspec

from pyproxycache.cli.archives.entry_heads import LARGEST_BODY, entry_of, head_of
from pyproxycache.messages import Entry

FORMAT, VERSION = "pyproxycache archive", 1

_ABOUT, _END = "pyproxycache-archive.json", "end.json"
_BLOCK = 1 << 20
_RECORD = tarfile.BLOCKSIZE
_LARGEST_ABOUT = 64 << 10
_LARGEST_HEAD = 4 << 20

T = TypeVar("T")


class ArchiveError(Exception):
    """A file is no archive that can be read; the text says why."""


class _About(msgspec.Struct):
    format: str = ""
    version: int = 0
    by: str = ""


class _Total(msgspec.Struct):
    entries: int


class ArchiveWriter:
    """Writes an archive to a binary file, which need not be seekable."""

    def __init__(self, file: BinaryIO, by: str) -> None:
        self._file = file
        self._count = 0
        self._member(_ABOUT, msgspec.json.encode(_About(FORMAT, VERSION, by)))

    def add(self, entry: Entry, body: Iterable[bytes]) -> None:
        """Add a response and its body; raises ArchiveError if the body is not the entry's."""
        self._count += 1
        self._member(f"{self._count:08d}.json", head_of(entry))
        self._file.write(_header(f"{self._count:08d}.body", entry.size))
        size, digest = 0, hashlib.sha256()
        for block in body:
            size += len(block)
            digest.update(block)
            self._file.write(block)
        if (size, digest.hexdigest()) != (entry.size, entry.digest):
            raise ArchiveError(
                f"the stored body of {entry.key} is damaged: `pyproxycache fsck --fix` removes it"
            )
        self._file.write(_padding(size))

    def close(self) -> None:
        """Write the end."""
        self._member(_END, msgspec.json.encode(_Total(self._count)))
        self._file.write(bytes(2 * _RECORD))

    def _member(self, name: str, content: bytes) -> None:
        self._file.write(_header(name, len(content)) + content + _padding(len(content)))


class ArchiveReader:
    """Reads an archive from a binary file in one pass; holds a head and a block of a body at a time.

    Each method raises ArchiveError, and OSError if the file cannot be read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        name, size = self._next()
        if name != _ABOUT:
            raise ArchiveError("it was not made by `pyproxycache export`")
        about = _decoded(self._content(size, _LARGEST_ABOUT), _About, name)
        if about.format != FORMAT:
            raise ArchiveError("it was not made by `pyproxycache export`")
        if about.version != VERSION:
            raise ArchiveError(
                f"it has version {about.version} of the format, made by pyproxycache {about.by[:40]}:"
                f" this one reads version {VERSION}"
            )

    def entries(self) -> Iterator[tuple[Entry, Iterator[bytes]]]:
        """Each response with its body, of which all is to be read before the next one.

        A body whose bytes are not those of its entry raises ArchiveError at its end.
        """
        count = 0
        while True:
            name, size = self._next()
            if name == _END:
                total = _decoded(self._content(size, _LARGEST_ABOUT), _Total, name)
                if total.entries != count:
                    raise ArchiveError(f"it says that it has {total.entries} responses, and has {count}")
                return
            count += 1
            if name != f"{count:08d}.json":
                raise ArchiveError(f"the member {name!r} is none of an archive")
            entry = _entry(self._content(size, _LARGEST_HEAD), name)
            body, size = self._next()
            if body != f"{count:08d}.body" or size != entry.size:
                raise ArchiveError(f"{name} is not followed by its body")
            yield entry, self._body(entry)

    def _body(self, entry: Entry) -> Iterator[bytes]:
        left, digest = entry.size, hashlib.sha256()
        while left:
            block = self._read(min(_BLOCK, left))
            left -= len(block)
            digest.update(block)
            yield block
        self._read(len(_padding(entry.size)))
        if digest.hexdigest() != entry.digest:
            raise ArchiveError(f"the body of {entry.key} has other bytes than its head says")

    def _next(self) -> tuple[str, int]:
        """Name and size of the next member, which has to be a plain file."""
        block = self._read(_RECORD)
        try:
            found = tarfile.TarInfo.frombuf(block, "ascii", "replace")
        except tarfile.HeaderError:
            raise ArchiveError("it is not a tar file, or is damaged") from None
        if found.type != tarfile.REGTYPE or not 0 <= found.size <= LARGEST_BODY:
            raise ArchiveError(f"the member {found.name[:100]!a} is none of an archive")
        return found.name, found.size

    def _content(self, size: int, most: int) -> bytes:
        if size > most:
            raise ArchiveError(f"a member that should be small has {size} bytes")
        content = self._read(size)
        self._read(len(_padding(size)))
        return content

    def _read(self, count: int) -> bytes:
        pieces, left = [], count
        while left and (piece := self._file.read(left)):
            pieces.append(piece)
            left -= len(piece)
        if left:
            raise ArchiveError("it ends too early")
        return b"".join(pieces)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def _padding(size: int) -> bytes:
    return bytes(-size % _RECORD)


def _entry(content: bytes, name: str) -> Entry:
    try:
        return entry_of(content, name)
    except ValueError as error:
        raise ArchiveError(str(error)) from None


def _decoded(content: bytes, kind: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{name} is not as export writes it: {error}") from None
