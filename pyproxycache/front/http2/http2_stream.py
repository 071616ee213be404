"""One stream of an HTTP/2 connection, as a connection of its own on which HTTP/1.1 is spoken."""

from __future__ import annotations

import os
import select
from typing import Protocol

from pyproxycache.front.http2.answer_fields import AnswerFields, answer_fields
from pyproxycache.front.http2.faults import ErrorCode, StreamFault
from pyproxycache.front.http2.frames import (
    END_STREAM,
    LARGEST_FRAME,
    FrameType,
    field_block,
    frame_bytes,
    frame_header,
)
from pyproxycache.front.http2.outlet import Outlet
from pyproxycache.front.http2.request_heads import RequestHead

FIRST_WINDOW = 16 << 10
"""Bytes of content that a client may send before anybody reads them."""
_WINDOW = 256 << 10
"""Bytes of content that a client may be ahead of who reads them."""
_END_OF_CHUNKS = b"0\r\n\r\n"
_CLOSED = -1


class Ends(Protocol):
    """The protocol of what is told of a stream's end."""

    def over(self, stream: Http2Stream) -> None:
        """Both directions have ended, or the stream was reset; called with the outlet's lock held."""

    def left(self, stream: Http2Stream) -> None:
        """Nobody uses the stream any more; called with the outlet's lock held."""


class Http2Stream:
    """A Stream whose bytes are those of one request and its answer in HTTP/1.1.

    What is read of it is the request's content, in chunks if its length is not known; the `head` is given
    with it. What is sent becomes frames: each head a field block, and what is behind a final one DATA. All
    is guarded by the lock of the `outlet`, through which the connection sends.

    `key` stands in for a descriptor, and is negative; -1 once the stream is closed here. `window`: how much
    content of an answer the client takes on this stream. `in_window`: how much content of the request it
    may still send. `is_blocked`: somebody waits for the window. `is_lost`: either side has reset it.
    `has_received_all`: the client has ended its direction. `is_tunnel`: it asks for one, or has one.
    """

    ends_one_way = True

    __slots__ = (
        *(
            "has_received_all",
            "head",
            "id",
            "in_window",
            "is_blocked",
            "is_lost",
            "is_tunnel",
            "key",
            "window",
        ),
        *("_chunk", "_content", "_ends", "_has_head", "_has_sent_all", "_is_broken", "_is_chunked"),
        *("_left", "_length", "_method", "_outlet", "_received"),
    )

    def __init__(
        self,
        id_: int,
        key: int,
        request: RequestHead,
        outlet: Outlet,
        ends: Ends,
        windows: tuple[int, int],
        *,
        is_whole: bool,
    ) -> None:
        """`windows` are the first ones, for answer and request; `is_whole`: the request has no content."""
        self.id = id_
        self.key = key
        self.head = request.head
        self.window, self.in_window = windows
        self.is_blocked = self.is_lost = False
        self.has_received_all = is_whole
        self._outlet = outlet
        self._ends = ends
        self._method = request.method
        self.is_tunnel = request.method == b"CONNECT"
        self._length = request.length
        self._is_chunked = request.is_chunked
        self._content = bytearray()
        self._chunk = b""  # the rest of one, of which the reader has taken a part
        self._received = 0
        self._has_head = self._has_sent_all = self._is_broken = False
        self._left: int | None = None  # of the answer's body, where its length is known

    @property
    def is_over(self) -> bool:
        """Whether both directions have ended, or the stream was reset."""
        return self.is_lost or (self._has_sent_all and self.has_received_all)

    # What the connection has received of it; called with the lock held.

    def receive(self, data: bytes, *, ends: bool) -> None:
        """Take content; raises StreamFault if it is not as it was announced."""
        if self.has_received_all:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "content behind its end")
        self._received += len(data)
        if self._length is not None and not (
            self._received == self._length if ends else self._received <= self._length
        ):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "content of another length than announced")
        if self._is_read:
            self._content += data
        if ends:
            self.has_received_all = True
            self._tell_if_over()

    def lose(self) -> None:
        """Note that the stream was reset, by either side."""
        if not self.is_over:
            self.is_lost = True
            self._content.clear()
            self._ends.over(self)

    @property
    def _is_read(self) -> bool:
        """Whether somebody may still read the request's content."""
        return self.is_tunnel or not self._has_sent_all

    # The Stream.

    def recv(self, count: int) -> bytes:
        with self._outlet.lock:
            self._check()
            data = self._chunked(count) if self._is_chunked else self._taken(count)
            if data or not self._is_read:
                return data
            if self.has_received_all:
                return b""
            raise BlockingIOError

    def _taken(self, count: int) -> bytes:
        data = bytes(self._content[:count])
        del self._content[:count]
        # At half of the window: each update costs the client as much as one of its frames.
        room = _WINDOW - self.in_window - len(self._content)
        if room >= _WINDOW // 2 and not self.has_received_all:
            self.in_window += room
            self._outlet.put(frame_bytes(FrameType.WINDOW_UPDATE, 0, self.id, room.to_bytes(4, "big")))
        return data

    def _chunked(self, count: int) -> bytes:
        """The next bytes of the content in chunks; b"" if none has come."""
        pieces, left = [], count
        while left:
            if not self._chunk:
                data = self._taken(left)
                if data:
                    self._chunk = b"%x\r\n%b\r\n" % (len(data), data)
                elif self.has_received_all:
                    self._chunk, self._is_chunked = _END_OF_CHUNKS, False
                else:
                    break
            pieces.append(self._chunk[:left])
            self._chunk = self._chunk[left:]
            left -= len(pieces[-1])
        return b"".join(pieces)

    def send(self, data: bytes | memoryview) -> int:
        if self._has_head:
            with self._outlet.lock:
                return self._send_body(memoryview(data))
        raw = data if isinstance(data, bytes) else bytes(data)
        size = raw.index(b"\r\n\r\n") + 4  # heads come whole
        fields = answer_fields(raw[:size])
        with self._outlet.lock:
            if not self._send_head(fields) or size == len(raw):
                return size
            try:
                return size + self._send_body(memoryview(raw)[size:])
            except BlockingIOError:
                return size

    def _send_head(self, fields: AnswerFields) -> bool:
        """Send a head; returns whether a body follows it."""
        self._check()
        self._outlet.check_room(self.key)
        is_final = fields.status >= 200
        if is_final:
            self._has_head = True
            if self._method == b"HEAD" or fields.status in (204, 304):
                self._left = 0
            elif not self.is_tunnel or fields.status >= 300:
                self._left, self.is_tunnel = fields.length, False
        ends = is_final and self._left == 0
        self._outlet.put(field_block(self.id, fields.block, ends=ends))
        if ends:
            self._end_sending()
        return is_final and not ends

    def _send_body(self, view: memoryview) -> int:
        """Send as much of the body as the windows and the connection's unsent bytes allow."""
        self._check()
        return self._put_body(view[: self._room()])

    def _put_body(self, view: memoryview) -> int:
        count = len(view)
        if self._left is not None:
            self._left -= count
        for at in range(0, count, LARGEST_FRAME):
            piece = view[at : at + LARGEST_FRAME]
            flags = END_STREAM if self._left == 0 and at + len(piece) == count else 0
            self._outlet.put_data(frame_header(FrameType.DATA, flags, self.id, len(piece)), piece)
        self.window -= count
        if self._left == 0:
            self._end_sending()
        return count

    def sendfile(self, fd: int, offset: int, count: int) -> int:
        with self._outlet.lock:
            self._check()
            room = self._room()
        data = os.pread(fd, min(count, room), offset)  # without the lock, as the disk may be waited for
        with self._outlet.lock:
            self._check()
            room = min(self.window, self._outlet.window)  # the client may have made it smaller
            if data and room <= 0:
                room = self._room()
            return self._put_body(memoryview(data)[:room])

    def _room(self) -> int:
        """How much of the body may be sent; raises BlockingIOError if none."""
        if self.window <= 0:
            self.is_blocked = True
            self._outlet.forget(self.key)  # others need not wait for it
            raise BlockingIOError
        return min(self.window, self._outlet.room(self.key))

    def _check(self) -> None:
        if self.is_lost or self._outlet.is_gone:
            raise ConnectionResetError("the client has ended the stream")

    def _end_sending(self) -> None:
        self._has_sent_all = True
        self._tell_if_over()

    def _tell_if_over(self) -> None:
        if self._has_sent_all and self.has_received_all:
            self._ends.over(self)

    def pending(self) -> int:
        with self._outlet.lock:
            return len(self._content)

    def half_close(self) -> None:
        with self._outlet.lock:
            self._check()
            self._half_close()

    def _half_close(self) -> None:
        """End the answer, unless more of it is due."""
        if self._has_head and not self._has_sent_all and not self._left:
            self._outlet.put(frame_bytes(FrameType.DATA, END_STREAM, self.id))
            self._end_sending()

    def reset(self) -> None:
        with self._outlet.lock:
            self._is_broken = True

    def close(self) -> None:
        """End the stream properly if its answer is whole and it was not reset; else by RST_STREAM.

        What the client has not sent yet of its request is not wanted any more (RFC 9113 section 8.1).
        """
        with self._outlet.lock:
            if self.key == _CLOSED:
                return
            if not self.is_over and not self._outlet.is_gone:
                if not self._is_broken:
                    self._half_close()
                if not self.is_over:
                    code = int(self._code).to_bytes(4, "big")
                    self._outlet.put(frame_bytes(FrameType.RST_STREAM, 0, self.id, code))
                    self.lose()
            self._ends.left(self)
            self.key = _CLOSED

    @property
    def _code(self) -> ErrorCode:
        """Why the stream ends before both directions have."""
        if self._has_sent_all:
            return ErrorCode.NO_ERROR
        return ErrorCode.CONNECT_ERROR if self.is_tunnel and self._has_head else ErrorCode.INTERNAL_ERROR

    def fileno(self) -> int:
        return self.key

    def probe_when_silent(self) -> None:
        self._outlet.probe_when_silent()

    def wait(self, events: int, seconds: float) -> bool:
        return self._outlet.wait(lambda: self._is_ready(events), seconds)

    def _is_ready(self, events: int) -> bool:
        if self.is_lost or self._outlet.is_gone:
            return True
        if events & select.POLLIN and (self._content or self.has_received_all):
            return True
        return bool(events & select.POLLOUT) and self._outlet.has_room

    def has_failed(self) -> bool:
        with self._outlet.lock:
            return self.is_lost or self._outlet.is_gone
