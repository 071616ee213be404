"""Packed documents, unpacked in pieces: all codings, members, damage, bombs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import subprocess
import zlib
from collections.abc import Callable
from importlib import import_module

import pytest

from pyproxycache.mirrors.documents.document_error import DocumentError
from pyproxycache.mirrors.documents.unpacked import Unpacked

TEXT = b"".join(b"Package: p%d\n" % random.Random(n).randrange(10**9) for n in range(9000))
PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip in members": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "gzip with padding": lambda data: gzip.compress(data) + bytes(512),
    "xz": lzma.compress,
    "xz in streams": lambda data: lzma.compress(data[:9]) + bytes(8) + lzma.compress(data[9:]),
    "bzip2": bz2.compress,
}


def _has(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True


HAS_ZSTD = _has("compression.zstd") or _has("backports.zstd")


class Kept:
    """A reader that keeps what it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.is_over = False

    def feed(self, data: bytes) -> None:
        self.pieces.append(data)

    def finish(self) -> None:
        self.is_over = True

    @property
    def text(self) -> bytes:
        return b"".join(self.pieces)


def unpacked(packed: bytes, size: int) -> Kept:
    kept = Kept()
    reader = Unpacked(kept)
    for start in range(0, len(packed), size):
        reader.feed(packed[start : start + size])
    reader.finish()
    assert kept.is_over
    assert max(map(len, kept.pieces), default=0) <= 64 << 10
    return kept


@pytest.mark.parametrize("size", [*range(1, 10), 4096, 10**9])
@pytest.mark.parametrize("kind", PACK)
def test_a_packed_document(kind: str, size: int) -> None:
    text = TEXT if size > 9 else TEXT[:3000]
    assert unpacked(PACK[kind](text), size).text == text


@pytest.mark.parametrize("text", [b"", b"x", b"\x1f", b"BZ", b"\xfd7zX", b"short"])
def test_one_that_is_shorter_than_its_mark(text: bytes) -> None:
    assert unpacked(text, 1).text == text


@pytest.mark.skipif(not HAS_ZSTD, reason="no library reads zstd here")
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_zstd(size: int) -> None:
    command = ["zstd", "-q", "-c"]
    packed = b"".join(
        subprocess.run(command, input=text, capture_output=True, check=True).stdout
        for text in (TEXT[:9], TEXT[9:])
    )
    assert unpacked(packed, size).text == TEXT


@pytest.mark.skipif(HAS_ZSTD, reason="zstd can be read here")
def test_zstd_without_its_library() -> None:
    with pytest.raises(DocumentError, match=r"backports\.zstd is not installed"):
        unpacked(b"\x28\xb5\x2f\xfd" + bytes(20), 7)


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2"])
def test_a_damaged_one(kind: str) -> None:
    packed = PACK[kind](TEXT)
    for damaged in (packed[:-5], packed[: len(packed) // 2], packed + b"more", packed[:40] + b"#" * 99):
        with pytest.raises(DocumentError, match=r"cannot be unpacked|ends before"):
            unpacked(damaged, 4096)


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2"])
def test_a_bomb(kind: str) -> None:
    make = {"gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress}[kind]
    bomb = make(bytes(1 << 20)) * 400
    kept = Kept()
    reader = Unpacked(kept)
    with pytest.raises(DocumentError, match="200 times its size"):
        reader.feed(bomb)
    assert len(kept.text) <= (16 << 20) + 200 * len(bomb) + (64 << 10)


def test_a_dictionary_that_would_fill_memory() -> None:
    packed = lzma.compress(TEXT)
    # The header of the first block is behind that of the stream: in its byte 4 the size, at its end a CRC.
    block = bytearray(packed[12:20])
    block[4] = 37  # 1.5 GB
    block += zlib.crc32(block).to_bytes(4, "little")
    with pytest.raises(DocumentError, match="Memory usage limit"):
        unpacked(packed[:12] + bytes(block) + packed[24:], 4096)
