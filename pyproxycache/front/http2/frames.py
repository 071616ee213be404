"""HTTP/2 frames (RFC 9113 sections 4 and 6): their bytes, and those of a connection cut into frames."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from pyproxycache.front.http2.faults import ConnectionFault, ErrorCode

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST_FRAME = 16 << 10
"""The largest payload that every peer takes, and the largest that is taken here."""
LARGEST_BLOCK = 32 << 10
"""The largest field block, in the bytes of its frames."""
_MOST_CONTINUATIONS = 32
_HEADER = struct.Struct(">HBBBL")
_HEADER_SIZE = _HEADER.size


class FrameType(IntEnum):
    """The types of frames (RFC 9113 section 6); frames of others are ignored."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20


class Frame(NamedTuple):
    """One frame; that of a field block has the payloads of its CONTINUATION frames at its end."""

    type: int
    flags: int
    stream_id: int
    payload: bytes


def frame_bytes(type_: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """A frame as it is sent."""
    return frame_header(type_, flags, stream_id, len(payload)) + payload


def frame_header(type_: int, flags: int, stream_id: int, length: int) -> bytes:
    """What is sent before a frame's payload of this length."""
    return _HEADER.pack(length >> 8, length & 0xFF, type_, flags, stream_id)


def field_block(stream_id: int, block: bytes, *, ends: bool) -> bytes:
    """The frames of a field block; `ends`: nothing follows it on the stream."""
    flags = END_STREAM if ends else 0
    if len(block) <= LARGEST_FRAME:
        return frame_bytes(FrameType.HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [block[at : at + LARGEST_FRAME] for at in range(0, len(block), LARGEST_FRAME)]
    frames = [frame_bytes(FrameType.HEADERS, flags, stream_id, pieces[0])]
    frames += [frame_bytes(FrameType.CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]]
    frames.append(frame_bytes(FrameType.CONTINUATION, END_HEADERS, stream_id, pieces[-1]))
    return b"".join(frames)


class FrameReader:
    """Cuts what a client sends into frames, behind its preface; joins the frames of a field block."""

    def __init__(self) -> None:
        self._rest = b""
        self._preface = PREFACE
        self._begun: Frame | None = None  # a field block that is not whole
        self._block: list[bytes] = []
        self._block_size = 0

    @property
    def is_between_frames(self) -> bool:
        """Whether nothing has been read of a frame, a field block, or the preface, that is not whole."""
        return not (self._rest or self._preface or self._begun)

    def frames(self, data: bytes) -> Iterator[Frame]:
        """The frames that these bytes end; raises ConnectionFault."""
        if self._rest:
            data = self._rest + data
        self._rest = b""
        if self._preface:
            data = self._behind_preface(data)
        at, end = 0, len(data)
        while end - at >= _HEADER_SIZE:
            high, low, type_, flags, stream_id = _HEADER.unpack_from(data, at)
            length = high << 8 | low
            if length > LARGEST_FRAME:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            behind = at + _HEADER_SIZE + length
            if behind > end:
                break
            frame = Frame(type_, flags, stream_id & 0x7FFFFFFF, data[at + _HEADER_SIZE : behind])
            at = behind
            if self._begun is not None:
                whole = self._continued(self._begun, frame)
                if whole is not None:
                    yield whole
            elif type_ == FrameType.HEADERS and not flags & END_HEADERS:
                self._begun, self._block, self._block_size = frame, [frame.payload], length
            else:
                yield frame
        self._rest = data[at:]

    def _behind_preface(self, data: bytes) -> bytes:
        count = min(len(data), len(self._preface))
        if data[:count] != self._preface[:count]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "it does not begin as HTTP/2 does")
        self._preface = self._preface[count:]
        return data[count:]

    def _continued(self, begun: Frame, frame: Frame) -> Frame | None:
        """The field block with one more frame; None if it is still not whole."""
        if frame.type != FrameType.CONTINUATION or frame.stream_id != begun.stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "another frame within a field block")
        self._block.append(frame.payload)
        self._block_size += len(frame.payload)
        if self._block_size > LARGEST_BLOCK or len(self._block) > _MOST_CONTINUATIONS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a field block without end")
        if not frame.flags & END_HEADERS:
            return None
        self._begun = None
        return begun._replace(flags=begun.flags | END_HEADERS, payload=b"".join(self._block))
