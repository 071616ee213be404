"""Texts of any size, of which each line is read, or left out, as bytes arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pyproxycache.mirrors.documents.document_error import DocumentError

_LONGEST = 1 << 20


def with_lines(pieces: Iterable[bytes], is_shown: Callable[[bytes], bool]) -> Iterator[bytes]:
    """The text without the lines of which `is_shown`, given each without its end, says so.

    Lines end with a line feed, the last one perhaps without. All other bytes stay as they are. A line is at
    most 1 MB long, else DocumentError is raised.
    """
    rest = bytearray()
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        rest += piece[:end] if end else piece
        if end:
            yield b"".join(_shown(bytes(rest), is_shown))
            rest = bytearray(piece[end:])
        if len(rest) > _LONGEST:
            raise DocumentError("a line is longer than 1 MB")
    yield b"".join(_shown(bytes(rest), is_shown))


def _shown(text: bytes, is_shown: Callable[[bytes], bool]) -> Iterator[bytes]:
    *lines, last = text.split(b"\n")
    yield from (line + b"\n" for line in lines if is_shown(line))
    if last and is_shown(last):
        yield last
