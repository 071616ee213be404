"""Frames out of bytes in any pieces, and bytes that another library reads as the same frames."""

from __future__ import annotations

import random

import pytest
from hyperframe.frame import Frame as OtherFrame
from splits import everywhere, somewhere

from pyproxycache.front.http2.frames import (
    LARGEST_FRAME,
    PREFACE,
    Frame,
    FrameReader,
    FrameType,
    field_block,
    frame_bytes,
)

FRAMES = [
    Frame(FrameType.SETTINGS, 0, 0, b""),
    Frame(FrameType.HEADERS, 5, 1, b"\x82\x84"),
    Frame(FrameType.DATA, 1, 1, b"x" * 30),
    Frame(0x77, 0xFF, (1 << 31) - 1, b"unknown"),
    Frame(FrameType.PING, 0, 0, b"abcdefgh"),
]
CONTINUED = (
    frame_bytes(FrameType.HEADERS, 1, 3, b"abc")
    + frame_bytes(FrameType.CONTINUATION, 0, 3, b"")
    + frame_bytes(FrameType.CONTINUATION, 4, 3, b"def")
)
RAW = PREFACE + b"".join(frame_bytes(*one) for one in FRAMES) + CONTINUED
READ = [*FRAMES, Frame(FrameType.HEADERS, 5, 3, b"abcdef")]


def read(pieces: list[bytes]) -> list[Frame]:
    reader = FrameReader()
    frames = [frame for piece in pieces for frame in reader.frames(piece)]
    assert reader.is_between_frames
    return frames


def test_in_any_pieces() -> None:
    assert read([RAW]) == READ
    for pieces in everywhere(RAW):
        assert read(pieces) == READ
    for seed in range(50):
        assert read(somewhere(RAW, seed)) == READ


def test_what_is_not_whole() -> None:
    for end in range(len(RAW)):
        reader = FrameReader()
        frames = list(reader.frames(RAW[:end]))
        assert frames == READ[: len(frames)]
        boundaries = {
            len(PREFACE) + sum(9 + len(one.payload) for one in FRAMES[:count]) for count in range(6)
        }
        assert reader.is_between_frames == (end in boundaries)


@pytest.mark.parametrize("size", [0, 1, LARGEST_FRAME, LARGEST_FRAME + 1, 3 * LARGEST_FRAME, 70_000])
@pytest.mark.parametrize("ends", [True, False])
def test_field_blocks(size: int, ends: bool) -> None:
    block = random.Random(size).randbytes(size)
    data, joined, flags = field_block(7, block, ends=ends), b"", []
    while data:
        found, length = OtherFrame.parse_frame_header(memoryview(data[:9]))
        assert length <= LARGEST_FRAME
        found.parse_body(memoryview(data[9 : 9 + length]))
        flags.append((type(found).__name__, set(found.flags)))
        joined, data = joined + found.data, data[9 + length :]
    assert joined == block
    assert ("END_STREAM" in flags[0][1]) == ends
    assert ["END_HEADERS" in one for _name, one in flags] == [False] * (len(flags) - 1) + [True]
    assert [name for name, _flags in flags] == ["HeadersFrame"] + ["ContinuationFrame"] * (len(flags) - 1)
