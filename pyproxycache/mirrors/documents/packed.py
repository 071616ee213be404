"""Documents packed again as they were, piece by piece, after some of their content was left out."""

from __future__ import annotations

import bz2
import zlib
from typing import Any, Protocol

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.unpacked import zstd_library


class Packer(Protocol):
    """What packs a file: the same bytes for the same pieces."""

    def compress(self, data: bytes, /) -> bytes:
        """Take the next bytes of the content; gives those of the file that are there."""

    def flush(self) -> bytes:
        """The rest of the file."""


class _Plain:
    """Packs nothing."""

    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def packer_for(name: str) -> Packer:
    """What packs a file as its name's ending says; raises DocumentError where no library does that."""
    if name.endswith(".zst"):
        packer: Packer = _zstd().ZstdCompressor()
        return packer
    if name.endswith(".bz2"):
        return bz2.BZ2Compressor()
    if name.endswith(".gz"):
        return zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return _Plain()


def can_pack(name: str) -> bool:
    """Whether files with such a name can be packed, and unpacked."""
    return not name.endswith(".zst") or zstd_library() is not None


def packed_by_zstd(content: bytes) -> bytes:
    """The content, packed as a zstd file; raises DocumentError where no library does that."""
    packed: bytes = _zstd().compress(content)
    return packed


def _zstd() -> Any:
    library = zstd_library()
    if library is None:
        raise DocumentError("it needs zstd, and the package backports.zstd is not installed")
    return library
