"""Compressed files, unpacked as their bytes arrive; what they are is told by their first bytes."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.document_readers import DocumentReader

_PIECE = 64 << 10
_LONGEST_MARK = 6
# What an archive's own index may need: a dictionary of 64 MB (xz -9), a window of 128 MB (zstd --ultra).
_MEMORY = 80 << 20
_WINDOW_LOG = 27
# Text of indexes packs 20 to 1 at best; what packs better by far is made to fill memory or time.
_RATIO = 200
_ALLOWANCE = 16 << 20


class _Decompressor(Protocol):
    """What lzma, bz2 and zstd have in common; gzip is made like them."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """A member of a gzip file (RFC 1952)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self._is_full = False  # the last piece had no room for all that was there

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._is_full

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        piece = self._member.decompress(self._member.unconsumed_tail + data, max_length)
        self._is_full = len(piece) == max_length
        return piece


@cache
def zstd_library() -> Any:
    """The module for zstd (PEP 784): Python's own, or the package that has it for older ones; else None."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def _zstd() -> _Decompressor:
    library = zstd_library()
    if library is None:
        raise DocumentError("it is packed with zstd, and the package backports.zstd is not installed")
    options = {library.DecompressionParameter.window_log_max: _WINDOW_LOG}
    stream: _Decompressor = library.ZstdDecompressor(options=options)
    return stream


def _errors() -> tuple[type[Exception], ...]:
    """What the libraries raise for content that is damaged."""
    library = zstd_library()
    own = () if library is None else (library.ZstdError,)
    return (zlib.error, lzma.LZMAError, OSError, *own)


_KINDS: tuple[tuple[bytes, Callable[[], _Decompressor]], ...] = (
    (b"\x1f\x8b", _Gzip),
    (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"BZh", bz2.BZ2Decompressor),
)


class Unpacked:
    """Unpacks a document for its reader, in pieces of 64 KB at most; one that is plain is read as it is.

    Raises DocumentError for what is damaged, and for what unpacks to 200 times its size.
    """

    def __init__(self, reader: DocumentReader) -> None:
        self._reader = reader
        self._begin = b""  # the first bytes, until they tell what it is
        self._is_told = False
        self._make: Callable[[], _Decompressor] | None = None
        self._stream: _Decompressor | None = None
        self._packed = 0
        self._unpacked = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._packed += len(data)
        if not self._is_told:
            self._begin += data
            if len(self._begin) < _LONGEST_MARK:
                return
            data = self._tell()
        self._take(data)

    def finish(self) -> None:
        """Take note that the document has ended."""
        if not self._is_told:
            self._take(self._tell())
        if self._make is not None and (self._stream is None or not self._stream.eof):
            raise DocumentError("it ends before its packed content does")
        self._reader.finish()

    def _tell(self) -> bytes:
        """Tell from the first bytes what it is; gives these."""
        begin, self._begin, self._is_told = self._begin, b"", True
        self._make = next((make for mark, make in _KINDS if begin.startswith(mark)), None)
        return begin

    def _take(self, data: bytes) -> None:
        if self._make is None:
            for start in range(0, len(data), _PIECE):
                self._reader.feed(data[start : start + _PIECE])
            return
        self._unpack(data, self._make)

    def _unpack(self, data: bytes, make: Callable[[], _Decompressor]) -> None:
        while True:
            if self._stream is None or self._stream.eof:
                # Another member follows, or the padding that xz and tar have.
                data = data.lstrip(b"\0") if self._stream is not None else data
                if not data:
                    return
                self._stream = make()
            try:
                piece = self._stream.decompress(data, _PIECE)
            except _errors() as error:
                raise DocumentError(f"it cannot be unpacked: {error}") from None
            self._unpacked += len(piece)
            if self._unpacked > _ALLOWANCE + _RATIO * self._packed:
                raise DocumentError(f"it unpacks to more than {_RATIO} times its size")
            if piece:
                self._reader.feed(piece)
            if self._stream.eof:
                data = self._stream.unused_data
            elif self._stream.needs_input:
                return
            else:
                data = b""
