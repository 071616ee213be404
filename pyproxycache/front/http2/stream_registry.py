"""The streams that a client has opened on one HTTP/2 connection (RFC 9113 section 5.1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from pyproxycache.front.http2.faults import ConnectionFault, ErrorCode, StreamFault
from pyproxycache.front.http2.flood_guard import FloodGuard
from pyproxycache.front.http2.frames import FrameType
from pyproxycache.front.http2.http2_stream import FIRST_WINDOW, Http2Stream
from pyproxycache.front.http2.outlet import Outlet
from pyproxycache.front.http2.request_heads import RequestHead

MOST_STREAMS = 100
"""Streams that a client may have open at a time."""
LARGEST_WINDOW = (1 << 31) - 1
DEFAULT_WINDOW = 0xFFFF
"""What may be sent on a connection, and on each stream, before anything is agreed."""
_MOST_IN_USE = 2 * MOST_STREAMS  # with those that threads work on although the client has reset them
_MOST_REMEMBERED = 256


class StreamRegistry:
    """Opens streams, and knows which there are; guarded by the outlet's lock.

    `highest` is the number of the last stream that was taken. `is_last`: no further one is.
    """

    def __init__(self, guard: FloodGuard, outlet: Outlet, new_key: Callable[[], int]) -> None:
        """`new_key` gives the key of each stream."""
        self.streams: dict[int, Http2Stream] = {}
        self.highest = 0
        self.is_last = False
        self._guard = guard
        self._outlet = outlet
        self._new_key = new_key
        self._open = 0  # how many count as open for the client
        self._reset_here: OrderedDict[int, None] = OrderedDict()  # further frames may be under way
        self._requests_window = DEFAULT_WINDOW  # as far as the client has agreed
        self._answers_window = DEFAULT_WINDOW

    def find(self, stream_id: int) -> Http2Stream | None:
        """The stream if there is one that was not reset."""
        stream = self.streams.get(stream_id)
        return None if stream is None or stream.is_lost else stream

    def open(self, stream_id: int, request: RequestHead, *, is_whole: bool) -> Http2Stream:
        """Open a stream; `is_whole`: the request has no content. Raises StreamFault if there are many."""
        if self._open >= MOST_STREAMS or len(self.streams) >= _MOST_IN_USE:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "too many streams at a time")
        windows = self._answers_window, self._requests_window
        stream = Http2Stream(
            stream_id, self._new_key(), request, self._outlet, self, windows, is_whole=is_whole
        )
        self.streams[stream_id] = stream
        self._open += 1
        return stream

    def over(self, stream: Http2Stream) -> None:
        self._open -= 1
        if not stream.is_lost:
            self._guard.note_answered()

    def left(self, stream: Http2Stream) -> None:
        del self.streams[stream.id]
        self._outlet.forget(stream.key)
        if stream.is_lost:
            self._remember_reset(stream.id)
        if not self.streams:
            self._outlet.wake()

    def refuse(self, stream_id: int, code: ErrorCode, now: float) -> None:
        """Reset a stream because of what the client has done; raises ConnectionFault if often."""
        self._guard.count_lost_stream(now)
        self._remember_reset(stream_id)
        self._outlet.put_control(FrameType.RST_STREAM, 0, stream_id, int(code).to_bytes(4, "big"))

    def check_not_idle(self, stream_id: int) -> None:
        """Raise ConnectionFault if the client has not opened the stream."""
        if not stream_id & 1 or (stream_id > self.highest and not self.is_last):
            raise ConnectionFault(
                ErrorCode.PROTOCOL_ERROR, f"a frame on stream {stream_id}, which it has not opened"
            )

    def check_may_lag(self, stream_id: int) -> None:
        """Raise ConnectionFault unless the client may not know yet that the stream is over."""
        self.check_not_idle(stream_id)
        if stream_id not in self.streams and stream_id not in self._reset_here and not self.is_last:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "a frame on a stream that it has ended")

    def have_answers_window(self, size: int) -> set[Http2Stream]:
        """Have each stream's window for answers begin with this size; returns those that waited for it.

        Raises ConnectionFault if a window would be too large.
        """
        change, self._answers_window = size - self._answers_window, size
        grown = set()
        for stream in self.streams.values():
            stream.window += change
            if max(size, stream.window) > LARGEST_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window that is too large")
            if stream.is_blocked and stream.window > 0:
                stream.is_blocked = False
                grown.add(stream)
        if size > LARGEST_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a window that is too large")
        return grown

    def agree(self) -> None:
        """Have each stream's window for content begin as the settings say, which the client knows now."""
        change, self._requests_window = FIRST_WINDOW - self._requests_window, FIRST_WINDOW
        for stream in self.streams.values():
            stream.in_window += change

    def _remember_reset(self, stream_id: int) -> None:
        self._reset_here[stream_id] = None
        if len(self._reset_here) > _MOST_REMEMBERED:
            self._reset_here.popitem(last=False)
