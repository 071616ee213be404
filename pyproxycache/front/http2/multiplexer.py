"""What a client's HTTP/2 frames mean for its connection and its streams (RFC 9113 section 6)."""

from __future__ import annotations

import logging
import select
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pyproxycache.front.http2.faults import ConnectionFault, ErrorCode, StreamFault
from pyproxycache.front.http2.field_decoder import LARGEST_LIST, FieldDecoder
from pyproxycache.front.http2.flood_guard import FloodGuard
from pyproxycache.front.http2.frames import (
    ACK,
    END_STREAM,
    LARGEST_FRAME,
    PADDED,
    PRIORITY,
    Frame,
    FrameReader,
    FrameType,
    frame_bytes,
)
from pyproxycache.front.http2.http2_stream import FIRST_WINDOW, Http2Stream
from pyproxycache.front.http2.outlet import Outlet
from pyproxycache.front.http2.request_heads import check_trailers
from pyproxycache.front.http2.stream_registry import (
    DEFAULT_WINDOW,
    LARGEST_WINDOW,
    MOST_STREAMS,
    StreamRegistry,
)
from pyproxycache.report.repetition_filter import LIMITED

log = logging.getLogger("pyproxycache")

NEW = 0
_GONE = select.EPOLLHUP | select.EPOLLERR
_WINDOW = 1 << 20
"""Content that a client may send on all streams together before it is told to go on."""
_SETTING = struct.Struct(">HL")
_ENABLE_PUSH, _MOST_OPEN, _FIRST_WINDOW, _LARGEST_FRAME, _LARGEST_LIST = 2, 3, 4, 5, 6
_SETTINGS = ((_MOST_OPEN, MOST_STREAMS), (_FIRST_WINDOW, FIRST_WINDOW), (_LARGEST_LIST, LARGEST_LIST))
_GOAWAY = struct.Struct(">LL")
_PRIORITY_SIZE = 5


class Happened(NamedTuple):
    """What has come for a stream: NEW, or epoll's events as a socket would have them."""

    stream: Http2Stream
    event: int


class Multiplexer:
    """Takes one client's frames, and tells what they mean for its streams; belongs to the poller.

    What it shares with the threads of streams is guarded by the outlet's lock. `client_leaves`: the client
    opens no further streams. `frames` counts those that have come.
    """

    def __init__(
        self, decoder: FieldDecoder, guard: FloodGuard, outlet: Outlet, new_key: Callable[[], int]
    ) -> None:
        """`new_key` gives the key of each stream."""
        self.client_leaves = False
        self.frames = 0
        self._decoder = decoder
        self._guard = guard
        self._outlet = outlet
        self._registry = StreamRegistry(guard, outlet, new_key)
        self._reader = FrameReader()
        self._has_settings = False
        self._window = DEFAULT_WINDOW  # what the client may still send on all streams together
        self._now = 0.0
        self._takers: dict[int, Callable[[Frame], tuple[Happened, ...]]] = {
            FrameType.DATA: self._on_data,
            FrameType.HEADERS: self._on_headers,
            FrameType.PRIORITY: self._on_priority,
            FrameType.RST_STREAM: self._on_reset,
            FrameType.SETTINGS: self._on_settings,
            FrameType.PUSH_PROMISE: self._on_unexpected,
            FrameType.PING: self._on_ping,
            FrameType.GOAWAY: self._on_goaway,
            FrameType.WINDOW_UPDATE: self._on_window_update,
            FrameType.CONTINUATION: self._on_unexpected,
        }

    @property
    def is_between_frames(self) -> bool:
        """Whether no frame has begun to come that is not whole."""
        return self._reader.is_between_frames

    @property
    def streams(self) -> tuple[Http2Stream, ...]:
        """The streams that are in use, also those that the client has reset."""
        with self._outlet.lock:
            return tuple(self._registry.streams.values())

    @property
    def is_last(self) -> bool:
        """Whether the client was told that no further stream is taken."""
        return self._registry.is_last

    def begin(self) -> None:
        """Send the settings, with which each side begins."""
        with self._outlet.lock:
            payload = b"".join(_SETTING.pack(*setting) for setting in _SETTINGS)
            self._outlet.put_control(FrameType.SETTINGS, 0, 0, payload)
            self._open_window()

    def receive(self, data: bytes, now: float) -> Iterator[Happened]:
        """Take what has come from the client; raises ConnectionFault. `now` is in monotonic seconds."""
        self._now = now
        for frame in self._reader.frames(data):
            self.frames += 1
            with self._outlet.lock:
                happened = self._received(frame)
                self._outlet.note_change()
            yield from happened

    def say_goodbye(self, code: ErrorCode = ErrorCode.NO_ERROR, *, is_last: bool) -> None:
        """Tell the client that the connection will end; with `is_last` no further stream is taken."""
        with self._outlet.lock:
            self._registry.is_last = is_last
            last = self._registry.highest if is_last else LARGEST_WINDOW
            self._outlet.put(frame_bytes(FrameType.GOAWAY, 0, 0, _GOAWAY.pack(last, code)))

    def _received(self, frame: Frame) -> tuple[Happened, ...]:
        if not self._has_settings and frame.type != FrameType.SETTINGS:
            raise _broken("its settings are not the first that it sends")
        taker = self._takers.get(frame.type)
        if taker is None:
            self._guard.count_frame(self._now)  # an extension, to be ignored (RFC 9113 section 5.5)
            return ()
        return taker(frame)

    # Frames of streams.

    def _on_headers(self, frame: Frame) -> tuple[Happened, ...]:
        stream_id, ends = frame.stream_id, bool(frame.flags & END_STREAM)
        block = _unpadded(frame)
        if frame.flags & PRIORITY:
            if len(block) < _PRIORITY_SIZE:
                raise _wrong_size(frame)
            block = block[_PRIORITY_SIZE:]
        stream = self._registry.find(stream_id)
        if stream is not None:
            return self._on_trailers(stream, block, ends=ends)
        if stream_id > self._registry.highest and not self._registry.is_last:
            return self._on_request(stream_id, block, ends=ends)
        self._decoder.fields(block)  # what follows is decoded by what this says
        return self._on_late(stream_id)

    def _on_request(self, stream_id: int, block: bytes, *, ends: bool) -> tuple[Happened, ...]:
        if not stream_id & 1:
            raise _broken(f"it opens stream {stream_id}")
        self._registry.highest = stream_id
        try:
            request = self._decoder.request(block, ends=ends)
            stream = self._registry.open(stream_id, request, is_whole=ends)
        except StreamFault as fault:
            self._refuse(stream_id, fault)
            return ()
        return (Happened(stream, NEW),)

    def _on_trailers(self, stream: Http2Stream, block: bytes, *, ends: bool) -> tuple[Happened, ...]:
        """The end of a request's content; the fields are not used, as those of HTTP/1.1 are not."""
        fields = self._decoder.fields(block)
        try:
            check_trailers(fields)
            if not ends:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a head within content")
            stream.receive(b"", ends=True)
        except StreamFault as fault:
            return self._break_off(stream, fault)
        return (Happened(stream, select.EPOLLIN),)

    def _on_data(self, frame: Frame) -> tuple[Happened, ...]:
        size, ends = len(frame.payload), bool(frame.flags & END_STREAM)
        data = _unpadded(frame)
        if not data and not ends:
            self._guard.count_frame(self._now)
        self._window -= size
        if self._window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more content than the window allows")
        if self._window < _WINDOW // 2:
            self._open_window()  # what is not read yet is bounded by the windows of the streams
        stream = self._registry.find(frame.stream_id)
        if stream is None:
            return self._on_late(frame.stream_id)
        try:
            stream.in_window -= size
            if stream.in_window < 0:
                raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "more content than the window allows")
            stream.receive(data, ends=ends)
        except StreamFault as fault:
            return self._break_off(stream, fault)
        return (Happened(stream, select.EPOLLIN),)

    def _on_reset(self, frame: Frame) -> tuple[Happened, ...]:
        _check_size(frame, 4)
        stream = self._registry.find(frame.stream_id)
        if stream is None or stream.is_over:
            self._registry.check_not_idle(frame.stream_id)
            self._guard.count_frame(self._now)
            return ()
        self._guard.count_lost_stream(self._now)
        stream.lose()
        return (Happened(stream, _GONE),)

    def _on_window_update(self, frame: Frame) -> tuple[Happened, ...]:
        _check_size(frame, 4)
        self._guard.count_frame(self._now)
        increment = int.from_bytes(frame.payload, "big") & LARGEST_WINDOW
        if not frame.stream_id:
            self._outlet.window += increment
            if (code := _code_of_window(increment, self._outlet.window)) is not None:
                raise ConnectionFault(code, "a window that grows by nothing, or too much")
            return ()
        stream = self._registry.find(frame.stream_id)
        if stream is None or stream.is_over:
            self._registry.check_not_idle(frame.stream_id)
            return ()
        stream.window += increment
        if (code := _code_of_window(increment, stream.window)) is not None:
            return self._break_off(stream, StreamFault(code, "a window that grows by nothing, or too much"))
        if not stream.is_blocked or stream.window <= 0:
            return ()
        stream.is_blocked = False
        return (Happened(stream, select.EPOLLOUT),)

    def _on_priority(self, frame: Frame) -> tuple[Happened, ...]:
        """A priority, which RFC 9113 section 5.3.2 lets a server ignore."""
        if not frame.stream_id:
            raise _broken("the priority of no stream")
        _check_size(frame, _PRIORITY_SIZE)
        self._guard.count_frame(self._now)
        return ()

    def _on_late(self, stream_id: int) -> tuple[Happened, ...]:
        """A frame on a stream that is over: it may have been under way when that was reset."""
        self._registry.check_may_lag(stream_id)
        self._guard.count_frame(self._now)
        return ()

    def _break_off(self, stream: Http2Stream, fault: StreamFault) -> tuple[Happened, ...]:
        """Reset a stream because of what the client has done on it."""
        self._refuse(stream.id, fault)
        stream.lose()
        return (Happened(stream, _GONE),)

    def _refuse(self, stream_id: int, fault: StreamFault) -> None:
        log.info("reset a stream of HTTP/2: %s", fault, extra=LIMITED)
        self._registry.refuse(stream_id, fault.code, self._now)

    # Frames of the connection.

    def _on_settings(self, frame: Frame) -> tuple[Happened, ...]:
        _check_of_connection(frame)
        size = len(frame.payload)
        if size % _SETTING.size or (frame.flags & ACK and size):
            raise _wrong_size(frame)
        self._guard.count_frame(self._now, 5 + size // _SETTING.size)
        if frame.flags & ACK:
            self._registry.agree()
            return ()
        self._has_settings = True
        grown: set[Http2Stream] = set()
        for number, value in _SETTING.iter_unpack(frame.payload):
            if number == _ENABLE_PUSH and value > 1:
                raise _broken("a setting that has to be 0 or 1")
            if number == _LARGEST_FRAME and not LARGEST_FRAME <= value < 1 << 24:
                raise _broken("a size of frames that must not be")
            if number == _FIRST_WINDOW:
                grown |= self._registry.have_answers_window(value)
        self._outlet.put_control(FrameType.SETTINGS, ACK, 0, b"")
        return tuple(Happened(stream, select.EPOLLOUT) for stream in grown)

    def _on_ping(self, frame: Frame) -> tuple[Happened, ...]:
        _check_of_connection(frame)
        _check_size(frame, 8)
        self._guard.count_frame(self._now)
        if not frame.flags & ACK:
            self._outlet.put_control(FrameType.PING, ACK, 0, frame.payload)
        return ()

    def _on_goaway(self, frame: Frame) -> tuple[Happened, ...]:
        _check_of_connection(frame)
        if len(frame.payload) < _GOAWAY.size:
            raise _wrong_size(frame)
        self._guard.count_frame(self._now)
        self.client_leaves = True
        return ()

    def _on_unexpected(self, _frame: Frame) -> tuple[Happened, ...]:
        raise _broken("a frame that clients do not send, or not there")

    def _open_window(self) -> None:
        room, self._window = _WINDOW - self._window, _WINDOW
        self._outlet.put_control(FrameType.WINDOW_UPDATE, 0, 0, room.to_bytes(4, "big"))


def _unpadded(frame: Frame) -> bytes:
    """The payload of a frame that may be padded; raises ConnectionFault."""
    if not frame.stream_id:
        raise _broken("a frame of a stream, and of none")
    payload = frame.payload
    if not frame.flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise _broken("more padding than there is room for")
    return payload[1 : len(payload) - payload[0]]


def _code_of_window(increment: int, window: int) -> ErrorCode | None:
    """What is wrong with a window's growth; None if nothing."""
    if not increment:
        return ErrorCode.PROTOCOL_ERROR
    return ErrorCode.FLOW_CONTROL_ERROR if window > LARGEST_WINDOW else None


def _check_of_connection(frame: Frame) -> None:
    if frame.stream_id:
        raise _broken("a frame of the connection, on a stream")


def _check_size(frame: Frame, size: int) -> None:
    if len(frame.payload) != size:
        raise _wrong_size(frame)


def _wrong_size(frame: Frame) -> ConnectionFault:
    return ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of type {frame.type} with a wrong size")


def _broken(text: str) -> ConnectionFault:
    return ConnectionFault(ErrorCode.PROTOCOL_ERROR, text)
