"""Writes an answer's bytes to a client's stream, without waiting for the client."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from enum import Enum

from pyproxycache.body import Body, FileSlice, Piece, WouldBlock, size_of
from pyproxycache.errors import BrokenOff
from pyproxycache.http1.answer_heads import Framing
from pyproxycache.net.stream import Stream

TURN_BYTES = 512 << 10
"""Bytes that are sent to one client before others have their turn."""
_JOINED = 64 << 10
_BYTE = bytearray(1)


class SendStatus(Enum):
    """How far an answer has come, and what it needs to go on."""

    DONE = "done"
    """All of it was sent."""
    FULL = "full"
    """The client's stream takes no more at the moment."""
    TURN = "turn"
    """A turn's worth was sent: other clients come first."""
    AWAITING = "awaiting"
    """The body has no more yet; `wake` is called when it may."""
    THREAD = "thread"
    """The body's next bytes have to be waited for, in a thread."""
    DISK = "disk"
    """The next bytes have to be read from the disk, in a thread."""
    TUNNEL = "tunnel"
    PENDING = "pending"
    """The head was sent, and the connection is a tunnel from here on."""
    NO_ANSWER = "no answer"
    """There is no answer yet; what it needs is awaited without a thread."""


class _Slice:
    """Bytes of a file that are still to be sent."""

    __slots__ = ("fd", "offset", "stop")

    def __init__(self, piece: FileSlice) -> None:
        self.fd, self.offset, self.stop = piece.fd, piece.offset, piece.offset + piece.count

    def without(self, count: int) -> _Slice:
        self.offset += count
        return self


def is_in_memory(fd: int, offset: int, stop: int) -> bool:
    """Whether the next TURN_BYTES bytes can be read without waiting for the disk, as far as can be told.

    Only the last of them is tried, since the system reads files ahead, and drops their pages, in order.
    """
    try:
        os.preadv(fd, (_BYTE,), min(stop, offset + TURN_BYTES) - 1, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True  # not every file system can tell
    return True


class AnswerWriter:
    """Writes the head and body of one answer to a client's stream; used by one thread at a time."""

    def __init__(
        self,
        stream: Stream,
        head: bytes,
        framing: Framing,
        body: Body,
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called, by any thread, once a body that was awaited may have more."""
        self._stream = stream
        self._wake = wake
        self._is_chunked = framing.is_chunked
        self._left = framing.length
        self._body: Body | None = body if framing.has_body else None
        self._queue: deque[memoryview | _Slice] = deque((memoryview(head),))
        self._head = len(head)
        self._taken = 0
        self._chunk_lines = 0

    @property
    def taken(self) -> int:
        """How many bytes the stream has taken, of the head, the body and the lines of chunks."""
        return self._taken

    @property
    def head_bytes(self) -> int:
        """How many bytes of the head the stream has taken."""
        return min(self._taken, self._head)

    @property
    def sent(self) -> int:
        """How many bytes of the body the stream has taken."""
        return max(0, self._taken - self._head - self._chunk_lines)

    def skip(self, count: int) -> None:
        """Skip bytes that were sent already, of an answer whose body is there as one piece."""
        self._fetch(waits=False)
        self._taken += count
        while count:
            item = self._queue.popleft()
            size = item.stop - item.offset if isinstance(item, _Slice) else len(item)
            if count < size:
                self._queue.appendleft(item.without(count) if isinstance(item, _Slice) else item[count:])
            count -= min(count, size)

    def advance(self, *, waits: bool) -> SendStatus:
        """Send as much as is possible; with `waits` this thread may wait for the body and the disk.

        It never waits for the client. Raises OSError if the client has gone, BrokenOff or another
        ProxyError if the body breaks off.
        """
        turn = TURN_BYTES
        if not self._taken:
            self._fetch(waits=False)  # so that the head leaves together with what there is
        while True:
            while self._queue:
                if turn <= 0:
                    return SendStatus.TURN
                item = self._queue[0]
                if (
                    not waits
                    and isinstance(item, _Slice)
                    and not is_in_memory(item.fd, item.offset, item.stop)
                ):
                    return SendStatus.DISK
                try:
                    turn -= self._send(item)
                except BlockingIOError:
                    return SendStatus.FULL
            if self._body is None:
                return SendStatus.DONE
            send_status = self._fetch(waits=waits)
            if send_status is not None:
                return send_status

    def _send(self, item: memoryview | _Slice) -> int:
        if isinstance(item, _Slice):
            count = self._send_file(item)
            item.offset += count
            rest: memoryview | _Slice | None = item if item.offset < item.stop else None
        else:
            count = self._stream.send(item)
            rest = item[count:] if count < len(item) else None
        self._taken += count
        if rest is None:
            self._queue.popleft()
        else:
            self._queue[0] = rest
        return count

    def _send_file(self, item: _Slice) -> int:
        count = self._stream.sendfile(item.fd, item.offset, min(item.stop - item.offset, TURN_BYTES))
        if count == 0:
            raise BrokenOff(f"the stored body ends at {item.offset}")
        return count

    def _fetch(self, *, waits: bool) -> SendStatus | None:
        """Queue the body's next piece; returns what has to be waited for, None if nothing."""
        if self._body is None:
            return None
        try:
            piece = self._next_piece(self._body, waits=waits)
        except StopIteration:
            self._end()
            return None
        except WouldBlock:
            return SendStatus.THREAD
        if piece is None:
            return SendStatus.AWAITING
        self._put(piece)
        return None

    def _next_piece(self, body: Body, *, waits: bool) -> Piece | None:
        try:
            return body.take(self._wake)
        except WouldBlock:
            if not waits:
                raise
        return next(body)

    def _put(self, piece: Piece) -> None:
        count = size_of(piece)
        if self._left is not None:
            if count > self._left:
                piece, count = _cut(piece, self._left), self._left
            self._left -= count
            if not self._left:
                self._body = None
        if not count:
            return
        if self._is_chunked:
            self._put_line(b"%x\r\n" % count)
        self._append(_Slice(piece) if isinstance(piece, FileSlice) else memoryview(piece))
        if self._is_chunked:
            self._put_line(b"\r\n")

    def _put_line(self, line: bytes) -> None:
        self._chunk_lines += len(line)
        self._append(memoryview(line))

    def _append(self, item: memoryview | _Slice) -> None:
        last = self._queue[-1] if self._queue else None
        if (
            isinstance(item, memoryview)
            and isinstance(last, memoryview)
            and len(last) + len(item) <= _JOINED
        ):
            self._queue[-1] = memoryview(bytes(last) + item)
        else:
            self._queue.append(item)

    def _end(self) -> None:
        self._body = None
        if self._left:
            raise BrokenOff(f"the body ended {self._left} bytes before its Content-Length")
        if self._is_chunked:
            self._put_line(b"0\r\n\r\n")


def _cut(piece: Piece, count: int) -> Piece:
    return FileSlice(piece.fd, piece.offset, count) if isinstance(piece, FileSlice) else piece[:count]
