"""Documents as their readers take them: without a content coding, in small pieces."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from pyproxycache.messages import Headers
from pyproxycache.mirrors.documents.document_error import DocumentError

_CODINGS = ("identity", "gzip")
# Bytes of a document that are read, and shown, at a time.
_PIECE = 64 << 10


def readable_coding(headers: Headers) -> str | None:
    """The content coding of a document with these fields; None if it is one that is not read."""
    coding = (headers.get("content-encoding") or "identity").strip().lower()
    return coding if coding in _CODINGS else None


def bounded(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The pieces; raises DocumentError once they have more bytes than that."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            raise DocumentError(f"it is larger than {most >> 20} MB")
        yield piece


def plain_pieces(blocks: Iterable[bytes], coding: str) -> Iterator[bytes]:
    """The content of blocks in this readable_coding(), in pieces of at most 64 KB; raises DocumentError."""
    small = (block[start : start + _PIECE] for block in blocks for start in range(0, len(block), _PIECE))
    return _unpacked(small) if coding == "gzip" else small


def _unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content of gzip members (RFC 1952), in pieces of a bounded size; raises DocumentError."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    for piece in pieces:
        rest = piece
        while rest:
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            try:
                yield unpacker.decompress(rest, _PIECE)
            except zlib.error as error:
                raise DocumentError(f"its gzip coding is invalid: {error}") from None
            rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if not unpacker.eof:
        raise DocumentError("its gzip coding ends too early")
