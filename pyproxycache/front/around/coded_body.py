"""Bodies in a content coding, made as they are sent."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pyproxycache.body import Body, Piece, in_blocks
from pyproxycache.mirrors.documents.unpacked import zstd_library

_LEVEL = 4


class Coder(Protocol):
    """Codes one body, piece by piece."""

    def code(self, data: bytes, /) -> bytes:
        """Take the next bytes; gives those of the coded body that are there."""

    def flush(self) -> bytes:
        """What a client needs to have all that was taken."""

    def finish(self) -> bytes:
        """The rest of the coded body."""


class _GzipCoder:
    """Codes by gzip (RFC 9110 section 8.4.1.3)."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(_LEVEL, wbits=zlib.MAX_WBITS | 16)

    def code(self, data: bytes, /) -> bytes:
        return self._packer.compress(data)

    def flush(self) -> bytes:
        return self._packer.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._packer.flush()


class _ZstdCoder:
    """Codes by zstd (RFC 8878), whose windows have less than the 8 MB that clients take (RFC 9659)."""

    def __init__(self, library: Any) -> None:
        self._packer = library.ZstdCompressor()

    def code(self, data: bytes, /) -> bytes:
        coded: bytes = self._packer.compress(data)
        return coded

    def flush(self) -> bytes:
        coded: bytes = self._packer.flush(self._packer.FLUSH_BLOCK)
        return coded

    def finish(self) -> bytes:
        coded: bytes = self._packer.flush()
        return coded


def coders() -> dict[str, Callable[[], Coder]]:
    """What makes coders, by the names of the codings that this machine has."""
    made: dict[str, Callable[[], Coder]] = {"gzip": _GzipCoder}
    library = zstd_library()
    if library is not None:
        made["zstd"] = lambda: _ZstdCoder(library)
    return made


class CodedBody(Body):
    """A body that is coded by the thread that sends it.

    With `flushes` clients get each piece as it comes, as of one that is being made.
    """

    def __init__(self, body: Body, coder: Coder, *, flushes: bool) -> None:
        self._body = body
        self._coded = _coded(body, coder, flushes=flushes)

    def __next__(self) -> Piece:
        return next(piece for piece in self._coded if piece)

    def close(self) -> None:
        self._body.close()


def _coded(body: Body, coder: Coder, *, flushes: bool) -> Iterator[bytes]:
    for block in in_blocks(body):
        yield coder.code(block)
        if flushes:
            yield coder.flush()
    yield coder.finish()
